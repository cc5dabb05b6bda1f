// A recipe client: makes one call and prints the reply's body as it came.
'use strict';

const { randomUUID } = require('node:crypto');
const { readFileSync, writeSync } = require('node:fs');
const { parseArgs } = require('node:util');
const amqplib = require('amqplib');

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    queue: { type: 'string' },
    body: { type: 'string' },
    'body-file': { type: 'string' },
    'correlation-id': { type: 'string', default: randomUUID() },
    'direct-reply-to': { type: 'boolean', default: false },
    // Print the reply's properties too, as one JSON object; the body in base64.
    json: { type: 'boolean', default: false },
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
  const output = options.json
    ? Buffer.from(
        JSON.stringify({
          type: properties.type,
          content_type: properties.contentType,
          correlation_id: properties.correlationId,
          headers: properties.headers,
          body: content.toString('base64'),
        }),
      )
    : content;
  for (let written = 0; written < output.length; ) {
    written += writeSync(1, output, written);
  }
}

async function main() {
  const body = options['body-file'] ? readFileSync(options['body-file']) : Buffer.from(options.body);
  const connection = await amqplib.connect(options.url);
  show(await call(connection, body));
  await connection.close();
}

main();
