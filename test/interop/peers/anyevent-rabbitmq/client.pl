# A recipe client: makes one call and prints the reply as one JSON object, its body in base64.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use AnyEvent;
use Getopt::Long;
use JSON::PP;
use MIME::Base64;
use Recipe;

GetOptions(\my %options, 'url=s', 'queue=s', 'body-file=s', 'correlation-id=s', 'direct-reply-to') or exit 2;

my $answered = AnyEvent->condvar;
my ($connection, $channel) = open_channel($options{url}, sub { $answered->croak('the channel was closed') });
my $replies = 'amq.rabbitmq.reply-to';
if (!$options{'direct-reply-to'}) {
    $replies = told($channel, 'declare_queue', exclusive => 1)->method_frame->queue;
}

told($channel, 'consume', queue => $replies, no_ack => 1, on_consume => sub {
    my ($reply) = @_;
    my $id = $reply->{header}->correlation_id;
    if ($id eq $options{'correlation-id'}) {
        $answered->send($reply);
    } else {
        warn "foreign reply: $id\n";
    }
});

open my $file, '<:raw', $options{'body-file'} or die "$options{'body-file'}: $!\n";
my $body = do { local $/; <$file> } // '';
$channel->publish(
    routing_key => $options{queue},
    header      => { correlation_id => $options{'correlation-id'}, reply_to => $replies },
    body        => $body,
);

my $reply = $answered->recv;
my $properties = $reply->{header};
print JSON::PP->new->latin1->encode({
    type           => $properties->type,
    content_type   => $properties->content_type,
    correlation_id => $properties->correlation_id,
    headers        => headers($properties),
    body           => encode_base64($reply->{body}->payload, ''),
});
told($connection, 'close');
