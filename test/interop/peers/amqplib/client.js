// A recipe client: makes one call and prints the reply as one JSON object, its body in base64.
'use strict';

const { readFileSync } = require('node:fs');
const { parseArgs } = require('node:util');
const amqplib = require('amqplib');

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    queue: { type: 'string' },
    'body-file': { type: 'string' },
    'correlation-id': { type: 'string' },
    'direct-reply-to': { type: 'boolean', default: false },
  },
});

// Resolves with the first reply that bears the call's correlation ID.
async function call(connection, body) {
  const channel = await connection.createChannel();
  const correlationId = options['correlation-id'];
  const replyTo = options['direct-reply-to']
    ? 'amq.rabbitmq.reply-to'
    : (await channel.assertQueue('', { exclusive: true })).queue;
  return new Promise((resolve, reject) => {
    channel.on('error', reject);
    const onReply = (message) => {
      if (message.properties.correlationId === correlationId) resolve(message);
      else console.error('foreign reply:', message.properties.correlationId);
    };
    channel
      .consume(replyTo, onReply, { noAck: true })
      .then(() => channel.sendToQueue(options.queue, body, { correlationId, replyTo }))
      .catch(reject);
  });
}

function show({ content, properties }) {
  console.log(
    JSON.stringify({
      type: properties.type,
      content_type: properties.contentType,
      correlation_id: properties.correlationId,
      headers: properties.headers,
      body: content.toString('base64'),
    }),
  );
}

async function main() {
  const connection = await amqplib.connect(options.url);
  show(await call(connection, readFileSync(options['body-file'])));
  await connection.close();
}

main();
