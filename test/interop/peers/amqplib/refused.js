// A client that no broker lets in: refused.js URL... prints for each address why, a line each.
'use strict';

const amqplib = require('amqplib');

async function main(urls) {
  for (const url of urls) {
    await amqplib.connect(url).catch((error) => console.log(String(error)));
  }
}

main(process.argv.slice(2));
