<?php
// What the client and the server share.

declare(strict_types=1);

require 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

/** Connects as the address says: amqp://user:password@host:port/vhost. */
function connect(string $url): AMQPStreamConnection
{
    $at = parse_url($url);
    return new AMQPStreamConnection(
        $at['host'],
        $at['port'],
        rawurldecode($at['user']),
        rawurldecode($at['pass']),
        rawurldecode(substr($at['path'], 1)),
    );
}

/** The value of a property; null if the message has none of that name. */
function property(AMQPMessage $message, string $name): mixed
{
    return $message->has($name) ? $message->get($name) : null;
}

function headers(AMQPMessage $message): object
{
    return (object) property($message, 'application_headers')?->getNativeData();
}
