// A publisher that a broker blocks: blocked.js URL
//
// It publishes until the broker blocks it, waits until it may go on, has a message confirmed, and
// closes. What happens it reports as one JSON object per line: ready, blocked, unblocked, confirmed,
// closed.
'use strict';

const { once } = require('node:events');
const amqplib = require('amqplib');

function report(event, details) {
  console.log(JSON.stringify({ event, ...details }));
}

async function main(url) {
  const connection = await amqplib.connect(`${url}?heartbeat=1`);
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  report('ready');
  const publishing = setInterval(() => channel.sendToQueue(queue, Buffer.from('x')), 20);
  const [reason] = await once(connection, 'blocked');
  clearInterval(publishing);
  report('blocked', { reason });
  await once(connection, 'unblocked');
  report('unblocked');
  channel.sendToQueue(queue, Buffer.from('x'), { mandatory: true });
  await channel.waitForConfirms();
  report('confirmed');
  let end;
  connection.on('close', (error) => { end = error ? String(error) : 'closed'; });
  await connection.close();
  report(end);
}

main(...process.argv.slice(2));
