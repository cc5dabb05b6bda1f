// A recipe client that trusts nothing: guarded.js URL QUEUE
//
// It calls the echo server of QUEUE with publisher confirms and the mandatory flag, meets whatever a
// broker tells a careful program, and prints it, a line per chapter.
'use strict';

const { createHash, randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const amqplib = require('amqplib');

const DIRECT = 'amq.rabbitmq.reply-to';

function say(chapter, ...words) {
  console.log(`${chapter}:`, ...words);
}

// A header's value as JSON has it, in the same way for every library.
function shown(value) {
  if (Buffer.isBuffer(value)) return `hex ${value.toString('hex')}`;
  if (Array.isArray(value)) return value.map(shown);
  if (value === null || typeof value !== 'object') return value;
  if (value['!'] === 'timestamp') return `second ${value.value}`;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, shown(value[key])]));
}

function asJSON(value) {
  return JSON.stringify(shown(value));
}

// What the broker tells of a message, in its order.
function outcome(channel, queue, body, options) {
  return new Promise((resolve) => {
    const told = [];
    const onReturn = ({ fields }) => told.push(`returned with ${fields.replyCode} ${fields.replyText}`);
    channel.on('return', onReturn);
    channel.sendToQueue(queue, body, options, (error) => {
      channel.off('return', onReturn);
      if (error) told.push('refused');
      else told.push('confirmed');
      resolve(told.join(', then '));
    });
  });
}

// Calls the server with confirms, taking replies from one place.
async function caller(connection, queue, replies) {
  const channel = await connection.createConfirmChannel();
  const replyTo = replies ?? (await channel.assertQueue('', { exclusive: true })).queue;
  const waiting = new Map();
  const onReply = ({ content, properties }) => waiting.get(properties.correlationId)(content);
  await channel.consume(replyTo, onReply, { noAck: true });
  return async (body) => {
    const correlationId = randomUUID();
    const reply = new Promise((resolve) => waiting.set(correlationId, resolve));
    const told = await outcome(channel, queue, body, { correlationId, replyTo, mandatory: true });
    if (told !== 'confirmed') throw new Error(`the request was ${told}`);
    return reply;
  };
}

// Resolves with the queue's next message.
async function first(channel, queue) {
  let take;
  const message = new Promise((resolve) => { take = resolve; });
  const { consumerTag } = await channel.consume(queue, (m) => {
    channel.ack(m);
    take(m);
  });
  await message;
  await channel.cancel(consumerTag);
  return message;
}

async function calls(connection, queue) {
  const channel = await connection.createChannel();
  const declared = await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  say('request queue', declared.messageCount, 'messages,', declared.consumerCount, 'consumer');
  const large = Buffer.from(Array.from({ length: 900 << 10 }, (_, i) => (i * i) % 251));
  for (const [name, replies] of [['exclusive queue'], ['direct reply-to', DIRECT]]) {
    const call = await caller(connection, queue, replies);
    say(name, String(await call(Buffer.from('first'))), String(await call(Buffer.from('second'))));
    say(name, createHash('sha256').update(await call(large)).digest('hex'));
  }
}

async function refusals(channel) {
  const body = Buffer.from('x');
  say('no such queue', await outcome(channel, 'nowhere', body, { mandatory: true }));
  say('no such queue, not mandatory', await outcome(channel, 'nowhere', body, {}));
  await channel.assertQueue('full', { maxLength: 1, arguments: { 'x-overflow': 'reject-publish' } });
  for (const nth of ['first', 'second']) {
    say('full queue', nth, await outcome(channel, 'full', body, { mandatory: true }));
  }
}

async function cancelled(connection, channel) {
  await channel.assertQueue('doomed');
  let notice;
  const noticed = new Promise((resolve) => { notice = resolve; });
  const { consumerTag } = await channel.consume('doomed', (message) => notice(message), { consumerTag: 'watcher' });
  await (await connection.createChannel()).deleteQueue('doomed');
  say('queue deleted', consumerTag, (await noticed) === null ? 'is cancelled' : 'gets a message');
}

async function expired(channel) {
  await channel.assertQueue('late');
  const declare = (messageTtl) =>
    channel.assertQueue('brief', { messageTtl, deadLetterExchange: '', deadLetterRoutingKey: 'late' });
  await declare(60000);
  for (const expiration of ['50', undefined]) {
    if (expiration === undefined) {
      await channel.deleteQueue('brief');
      await declare(50);
    }
    await outcome(channel, 'brief', Buffer.from('x'), { expiration, mandatory: true });
    const { properties } = await first(channel, 'late');
    const [{ time, ...death }] = properties.headers['x-death'];
    say('dead letter', asJSON(death), properties.headers['x-first-death-reason'],
      properties.expiration ? 'expires' : 'stays');
  }
}

async function headers(channel) {
  const values = {
    yes: true, small: -5, large: 2 ** 40, half: 0.5, text: 'grüße', nothing: null,
    bytes: Buffer.from([0, 255]), list: [1, 'two', [3]], table: { deep: { deeper: true } },
    at: { '!': 'timestamp', value: 1700000000 },
  };
  await outcome(channel, 'late', Buffer.alloc(0), {
    headers: values, contentType: 'text/plain', persistent: true, priority: 3, messageId: '7',
    type: 'kind', appId: 'app', timestamp: 1700000000,
  });
  const { properties: p, content } = await first(channel, 'late');
  say('headers', asJSON(p.headers));
  say('properties', p.contentType, p.deliveryMode, p.priority, p.messageId, p.type, p.appId, p.timestamp,
    content.length, 'bytes');
}

async function main(url, queue) {
  const connection = await amqplib.connect(`${url}?heartbeat=1`);
  say('heartbeats', 'every', connection.connection.heartbeat, 's');
  const channel = await connection.createConfirmChannel();
  await calls(connection, queue);
  await refusals(channel);
  await cancelled(connection, channel);
  await expired(channel);
  await headers(channel);
  // Three times as long as either side would wait for the other's heartbeats.
  await sleep(3000);
  say('after a rest', (await channel.checkQueue('late')).messageCount, 'messages');
  let end;
  connection.on('close', (error) => { end = error ? String(error) : 'closed'; });
  await connection.close();
  say('connection', end);
}

main(...process.argv.slice(2));
