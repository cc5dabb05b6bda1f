"""A recipe client: makes one call and prints the reply as one JSON object, its body in base64."""

import argparse
import base64
import json
import sys

import pika

DIRECT = "amq.rabbitmq.reply-to"


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--body-file", required=True, help="a file that holds the request's body")
    parser.add_argument("--correlation-id", required=True)
    parser.add_argument("--direct-reply-to", action="store_true", help="no reply queue of its own")
    return parser.parse_args()


def read_body(opts):
    with open(opts.body_file, "rb") as file:
        return file.read()


def call(connection, opts):
    """Returns the properties and the body of the first reply that bears the call's correlation ID."""
    channel = connection.channel()
    answers = []

    def on_reply(_channel, _method, properties, body):
        if properties.correlation_id == opts.correlation_id:
            answers.append((properties, body))
        else:
            print("foreign reply:", properties.correlation_id, file=sys.stderr)

    replies = DIRECT
    if not opts.direct_reply_to:
        replies = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_consume(replies, on_reply, auto_ack=True)
    request = pika.BasicProperties(reply_to=replies, correlation_id=opts.correlation_id)
    channel.basic_publish("", opts.queue, read_body(opts), request)
    while not answers:
        connection.process_data_events(time_limit=None)
    return answers[0]


def show(properties, body):
    json.dump({
        "type": properties.type,
        "content_type": properties.content_type,
        "correlation_id": properties.correlation_id,
        "headers": properties.headers,
        "body": base64.b64encode(body).decode(),
    }, sys.stdout)


def main():
    opts = options()
    connection = pika.BlockingConnection(pika.URLParameters(opts.url))
    show(*call(connection, opts))
    connection.close()


main()
