<?php
// A recipe client: makes one call and prints the reply as one JSON object, its body in base64.

declare(strict_types=1);

require __DIR__ . '/recipe.php';

use PhpAmqpLib\Message\AMQPMessage;

$options = getopt('', ['url:', 'queue:', 'body-file:', 'correlation-id:', 'direct-reply-to']);
$id = $options['correlation-id'];
$connection = connect($options['url']);
$channel = $connection->channel();
$replies = 'amq.rabbitmq.reply-to';
if (!isset($options['direct-reply-to'])) {
    [$replies] = $channel->queue_declare('', false, false, true, false);
}

$answer = null;
$on_reply = function (AMQPMessage $reply) use ($id, &$answer): void {
    if (property($reply, 'correlation_id') === $id) {
        $answer = $reply;
    } else {
        fwrite(STDERR, 'foreign reply: ' . property($reply, 'correlation_id') . "\n");
    }
};
$channel->basic_consume($replies, '', false, true, false, false, $on_reply);
$request = new AMQPMessage(file_get_contents($options['body-file']), ['correlation_id' => $id, 'reply_to' => $replies]);
$channel->basic_publish($request, '', $options['queue']);
while ($answer === null) {
    $channel->wait();
}
echo json_encode([
    'type' => property($answer, 'type'),
    'content_type' => property($answer, 'content_type'),
    'correlation_id' => property($answer, 'correlation_id'),
    'headers' => headers($answer),
    'body' => base64_encode($answer->getBody()),
], JSON_THROW_ON_ERROR);
$connection->close();
