# A recipe server.
#
# It reports what happens as one JSON object per line: ready, request (with the request's
# properties), replied, acked. A body that is not a number ends it in the modes fib and email.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use AnyEvent;
use Getopt::Long;
use JSON::PP;
use Recipe;

my %addresses = (
    1 => 'ada@example.org', 2 => 'blaise@example.org', 3 => 'charles@example.org',
    4 => 'donald@example.org', 5 => 'edsger@example.org',
);
my %options = ('queue-type' => 'quorum', mode => 'fib', replies => 1, hold => '');
GetOptions(\%options, 'url=s', 'queue=s', 'queue-type=s', 'mode=s', 'replies=i', 'hold=s') or exit 2;

$| = 1;
my $ended = AnyEvent->condvar;

sub report {
    my ($event, %details) = @_;
    print JSON::PP->new->latin1->encode({ event => $event, %details }), "\n";
}

sub number {
    my ($body) = @_;
    die "not a number: $body\n" if $body !~ /^\d+$/;
    return $body;
}

sub fib {
    my ($n) = @_;
    my ($first, $second) = (0, 1);
    ($first, $second) = ($second, $first + $second) for 1 .. $n;
    return $first;
}

sub result {
    my ($body) = @_;
    return $body if $options{mode} eq 'echo';
    return $addresses{ number($body) } // '' if $options{mode} eq 'email';
    return fib(number($body));
}

my ($connection, $channel) = open_channel($options{url}, sub { $ended->croak('the channel was closed') });

sub serve {
    my ($request) = @_;
    my ($properties, $body) = ($request->{header}, $request->{body}->payload);
    my $deliver = $request->{deliver}->method_frame;
    my $id = $properties->correlation_id;
    report('request',
        correlation_id => $id,
        reply_to       => $properties->reply_to,
        type           => $properties->type,
        content_type   => $properties->content_type,
        expiration     => $properties->expiration,
        delivery_mode  => ($properties->delivery_mode // 0) + 0,
        headers        => headers($properties),
        redelivered    => $deliver->redelivered ? JSON::PP::true : JSON::PP::false,
        size           => length $body,
    );
    my $answer = result($body);
    # With one request unacknowledged, no other one comes.
    return if $options{hold} eq 'before-reply';
    for (1 .. $options{replies}) {
        $channel->publish(
            routing_key => $properties->reply_to,
            header      => { correlation_id => $id },
            body        => "$answer",
        );
    }
    report('replied', correlation_id => $id);
    return if $options{hold} eq 'before-ack';
    $channel->ack(delivery_tag => $deliver->delivery_tag);
    report('acked', correlation_id => $id);
}

told($channel, 'declare_queue',
    queue     => $options{queue},
    durable   => $options{'queue-type'} ne 'transient',
    arguments => $options{'queue-type'} eq 'quorum' ? { 'x-queue-type' => 'quorum' } : {},
);
told($channel, 'qos', prefetch_count => 1);
# The event loop only warns of what dies in a callback.
told($channel, 'consume', queue => $options{queue}, no_ack => 0, on_consume => sub {
    my ($request) = @_;
    eval { serve($request); 1 } or $ended->croak($@);
});
report('ready');
$ended->recv;
