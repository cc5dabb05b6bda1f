// A recipe server.
//
// It reports what happens as one JSON object per line: ready, request (with the request's
// properties), returned, replied, acked. A body that is not a number ends it in the modes fib and email.
'use strict';

const { parseArgs } = require('node:util');
const amqplib = require('amqplib');

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    queue: { type: 'string' },
    // quorum, classic (durable) or transient.
    'queue-type': { type: 'string', default: 'quorum' },
    // fib, echo or email.
    mode: { type: 'string', default: 'fib' },
    // How often each request is answered.
    replies: { type: 'string', default: '1' },
    // before-reply or before-ack: stop there with the first request, until killed.
    hold: { type: 'string' },
    // Wait for the broker to confirm each reply, and report it if it comes back.
    confirm: { type: 'boolean', default: false },
  },
});

const addresses = {
  1: 'ada@example.org', 2: 'blaise@example.org', 3: 'charles@example.org',
  4: 'donald@example.org', 5: 'edsger@example.org',
};

function report(event, details) {
  console.log(JSON.stringify({ event, ...details }));
}

function declare(channel) {
  const quorum = options['queue-type'] === 'quorum';
  return channel.assertQueue(options.queue, {
    durable: options['queue-type'] !== 'transient',
    arguments: quorum ? { 'x-queue-type': 'quorum' } : {},
  });
}

// Whole numbers of any size: fib(79) no longer fits a double.
function fib(n) {
  let [a, b] = [0n, 1n];
  for (let i = 0n; i < n; i++) [a, b] = [b, a + b];
  return a;
}

function result(body) {
  if (options.mode === 'echo') return body;
  const n = BigInt(body.toString());
  return Buffer.from(options.mode === 'email' ? addresses[n] ?? '' : String(fib(n)));
}

async function onRequest(channel, message) {
  const { correlationId, replyTo, type, contentType, expiration, deliveryMode, headers } = message.properties;
  report('request', {
    correlation_id: correlationId,
    reply_to: replyTo,
    type,
    content_type: contentType,
    expiration,
    delivery_mode: deliveryMode,
    headers,
    redelivered: message.fields.redelivered,
    size: message.content.length,
  });
  const answer = result(message.content);
  if (options.hold === 'before-reply') return;
  for (let i = 0; i < Number(options.replies); i++) {
    channel.sendToQueue(replyTo, answer, { correlationId, mandatory: options.confirm });
  }
  if (options.confirm) await channel.waitForConfirms();
  report('replied', { correlation_id: correlationId });
  if (options.hold === 'before-ack') return;
  channel.ack(message);
  report('acked', { correlation_id: correlationId });
}

async function main() {
  const connection = await amqplib.connect(options.url);
  const channel = await (options.confirm ? connection.createConfirmChannel() : connection.createChannel());
  channel.on('return', ({ properties }) => report('returned', { correlation_id: properties.correlationId }));
  await declare(channel);
  await channel.prefetch(1);
  await channel.consume(options.queue, (message) => onRequest(channel, message));
  report('ready');
}

main();
