# What the client and the server share.
package Recipe;

use strict;
use warnings;

use AnyEvent;
use AnyEvent::RabbitMQ;
use Exporter 'import';

our @EXPORT = qw(open_channel told headers);

# told calls a method of the library's and waits for its end: it returns what was told of a success,
# and dies of a failure.
sub told {
    my ($object, $method, %arguments) = @_;
    my $end = AnyEvent->condvar;
    $object->$method(
        %arguments,
        on_success => sub { $end->send(@_) },
        on_failure => sub { $end->croak("$method: @_") },
    );
    return $end->recv;
}

# open_channel returns a connection as the address says, amqp://user:password@host:port/vhost, and a
# channel on it. $on_close is called when the channel is closed, also by the connection's end.
sub open_channel {
    my ($url, $on_close) = @_;
    my @at = $url =~ m{^amqp://([^:]*):([^@]*)@([^:/]+):(\d+)/(.*)$} or die "not an address: $url\n";
    s/%([0-9A-Fa-f]{2})/chr hex $1/ge for @at;
    my %at;
    @at{qw(user pass host port vhost)} = @at;
    my $connection = AnyEvent::RabbitMQ->new->load_xml_spec;
    told($connection, 'connect', %at);
    my $channel = told($connection, 'open_channel', on_close => $on_close);
    return ($connection, $channel);
}

# headers returns a message's header table with the text of its values.
sub headers {
    my ($properties) = @_;
    my $headers = $properties->headers || {};
    return { map { $_ => "$headers->{$_}" } keys %$headers };
}

1;
