"""A recipe server without any guard: tutorial_server.py URL QUEUE

It answers decimal numbers with Fibonacci numbers. A body that is not a number, or a request without
reply_to, ends it with a traceback, and the request goes back to the queue.
"""

import sys

import pika


def fib(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def on_request(channel, method, properties, body):
    reply = pika.BasicProperties(correlation_id=properties.correlation_id)
    channel.basic_publish("", properties.reply_to, str(fib(int(body))), reply)
    channel.basic_ack(method.delivery_tag)


def main(url, queue):
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue, on_request)
    print('{"event": "ready"}', flush=True)
    channel.start_consuming()


main(*sys.argv[1:])
