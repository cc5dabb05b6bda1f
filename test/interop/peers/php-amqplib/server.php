<?php
// A recipe server.
//
// It reports what happens as one JSON object per line: ready, request (with the request's
// properties), replied, acked. A body that is not a number ends it in the modes fib and email.

declare(strict_types=1);

require __DIR__ . '/recipe.php';

use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

const ADDRESSES = [
    1 => 'ada@example.org', 2 => 'blaise@example.org', 3 => 'charles@example.org',
    4 => 'donald@example.org', 5 => 'edsger@example.org',
];

function report(string $event, array $details = []): void
{
    echo json_encode(['event' => $event] + $details, JSON_THROW_ON_ERROR), "\n";
}

function number(string $body): int
{
    return ctype_digit($body) ? (int) $body : throw new ValueError("not a number: $body");
}

function fib(int $n): int
{
    [$a, $b] = [0, 1];
    for (; $n > 0; $n--) {
        [$a, $b] = [$b, $a + $b];
    }
    return $a;
}

function result(string $mode, string $body): string
{
    return match ($mode) {
        'echo' => $body,
        'fib' => (string) fib(number($body)),
        'email' => ADDRESSES[number($body)] ?? '',
    };
}

// until_killed stops here. It does not return.
function until_killed(): void
{
    while (true) {
        sleep(3600);
    }
}

$options = getopt('', ['url:', 'queue:', 'queue-type:', 'mode:', 'replies:', 'hold:']);
$options += ['queue-type' => 'quorum', 'mode' => 'fib', 'replies' => '1', 'hold' => ''];

$channel = connect($options['url'])->channel();
$arguments = $options['queue-type'] === 'quorum' ? new AMQPTable(['x-queue-type' => 'quorum']) : [];
$channel->queue_declare($options['queue'], false, $options['queue-type'] !== 'transient', false, false, false, $arguments);
$channel->basic_qos(0, 1, false);

$on_request = function (AMQPMessage $request) use ($channel, $options): void {
    $id = property($request, 'correlation_id');
    report('request', [
        'correlation_id' => $id,
        'reply_to' => property($request, 'reply_to'),
        'type' => property($request, 'type'),
        'content_type' => property($request, 'content_type'),
        'expiration' => property($request, 'expiration'),
        'delivery_mode' => property($request, 'delivery_mode'),
        'headers' => headers($request),
        'redelivered' => $request->isRedelivered(),
        'size' => strlen($request->getBody()),
    ]);
    $answer = result($options['mode'], $request->getBody());
    if ($options['hold'] === 'before-reply') {
        until_killed();
    }
    for ($i = 0; $i < (int) $options['replies']; $i++) {
        $channel->basic_publish(new AMQPMessage($answer, ['correlation_id' => $id]), '', $request->get('reply_to'));
    }
    report('replied', ['correlation_id' => $id]);
    if ($options['hold'] === 'before-ack') {
        until_killed();
    }
    $request->ack();
    report('acked', ['correlation_id' => $id]);
};
$channel->basic_consume($options['queue'], '', false, false, false, false, $on_request);
report('ready');
while ($channel->is_consuming()) {
    $channel->wait();
}
