"""A publisher that a broker blocks: blocked.py URL

It publishes until the broker blocks it, waits until it may go on, has a message confirmed, and
closes. What happens it reports as one JSON object per line: ready, blocked, unblocked, confirmed,
closed.
"""

import json
import sys

import pika


def report(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)


def main(url):
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 1
    connection = pika.BlockingConnection(parameters)
    told = []
    connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
    connection.add_on_connection_unblocked_callback(lambda *_: told.append(None))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    report("ready")
    while not told:
        channel.basic_publish("", queue, b"x")
        connection.process_data_events(time_limit=0.02)
    report("blocked", reason=told[0])
    while len(told) < 2:
        connection.process_data_events(time_limit=None)
    report("unblocked")
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"x", mandatory=True)
    report("confirmed")
    connection.close()
    report("closed" if connection.is_closed else "open")


main(*sys.argv[1:])
