"""A recipe client without any guard: tutorial_client.py URL QUEUE NUMBER...

It makes one call after another and prints one number per line. It takes the first message on its
reply queue for the answer, so a message with a foreign correlation ID, or a body that is not a
number, ends it with a traceback.
"""

import sys
import uuid

import pika


class Caller:
    def __init__(self, url, queue):
        self.queue = queue
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.replies = self.channel.queue_declare(queue="", exclusive=True).method.queue
        self.channel.basic_consume(self.replies, self.on_reply, auto_ack=True)
        self.expected = None
        self.answer = None

    def on_reply(self, _channel, _method, properties, body):
        if properties.correlation_id == self.expected:
            self.answer = body

    def call(self, number):
        self.answer = None
        self.expected = str(uuid.uuid4())
        request = pika.BasicProperties(reply_to=self.replies, correlation_id=self.expected)
        self.channel.basic_publish("", self.queue, str(number), request)
        self.connection.process_data_events(time_limit=None)
        return int(self.answer)


def main(url, queue, *numbers):
    caller = Caller(url, queue)
    for number in numbers:
        print(caller.call(number), flush=True)
    caller.connection.close()


main(*sys.argv[1:])
