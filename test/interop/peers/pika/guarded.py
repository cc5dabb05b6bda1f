"""A recipe client that trusts nothing: guarded.py URL QUEUE

It calls the echo server of QUEUE with publisher confirms and the mandatory flag, meets whatever a
broker tells a careful program, and prints it, a line per chapter.
"""

import calendar
import datetime
import decimal
import hashlib
import json
import sys
import uuid

import pika
import pika.exceptions

DIRECT = "amq.rabbitmq.reply-to"


class Caller:
    """Calls the server with confirms, taking replies from one place."""

    def __init__(self, connection, queue, replies=None):
        self.connection = connection
        self.queue = queue
        self.channel = connection.channel()
        self.channel.confirm_delivery()
        self.replies = replies or self.channel.queue_declare("", exclusive=True).method.queue
        self.answers = {}
        self.channel.basic_consume(self.replies, self.on_reply, auto_ack=True)

    def on_reply(self, _channel, _method, properties, body):
        self.answers[properties.correlation_id] = body

    def call(self, body):
        """Returns the reply to a request that the broker has confirmed, or else raises."""
        ident = str(uuid.uuid4())
        request = pika.BasicProperties(reply_to=self.replies, correlation_id=ident)
        self.channel.basic_publish("", self.queue, body, request, mandatory=True)
        while ident not in self.answers:
            self.connection.process_data_events(time_limit=None)
        return self.answers.pop(ident)


def say(chapter, *words):
    print(chapter + ":", *words, flush=True)


def shown(value):
    """A header's value as JSON has it, in the same way for every library."""
    if isinstance(value, dict):
        return {key: shown(v) for key, v in value.items()}
    if isinstance(value, list):
        return [shown(v) for v in value]
    if isinstance(value, bytes):
        return "hex " + value.hex()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.datetime):
        return "second %d" % calendar.timegm(value.utctimetuple())
    return value


def as_json(value):
    return json.dumps(shown(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def outcome(publish):
    """Whether the broker took a message. A return after the confirm would come too late to be seen."""
    try:
        publish()
    except pika.exceptions.UnroutableError as error:
        method = error.messages[0].method
        return "returned with %d %s, then confirmed" % (method.reply_code, method.reply_text)
    except pika.exceptions.NackError:
        return "refused"
    return "confirmed"


def first(connection, channel, queue):
    """Returns the properties and the body of the queue's next message."""
    messages = []

    def on_message(_channel, method, properties, body):
        channel.basic_ack(method.delivery_tag)
        messages.append((properties, body))

    tag = channel.basic_consume(queue, on_message)
    while not messages:
        connection.process_data_events(time_limit=None)
    channel.basic_cancel(tag)
    return messages[0]


def calls(connection, queue):
    declared = connection.channel().queue_declare(
        queue, durable=True, arguments={"x-queue-type": "quorum"}).method
    say("request queue", declared.message_count, "messages,", declared.consumer_count, "consumer")
    large = bytes(i * i % 251 for i in range(900 << 10))
    for name, replies in ("exclusive queue", None), ("direct reply-to", DIRECT):
        caller = Caller(connection, queue, replies)
        say(name, caller.call(b"first").decode(), caller.call(b"second").decode())
        say(name, hashlib.sha256(caller.call(large)).hexdigest())


def refusals(channel):
    say("no such queue", outcome(lambda: channel.basic_publish("", "nowhere", b"lost", mandatory=True)))
    say("no such queue, not mandatory", outcome(lambda: channel.basic_publish("", "nowhere", b"lost")))
    channel.queue_declare("full", durable=True,
                          arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    for nth in "first", "second":
        say("full queue", nth, outcome(lambda: channel.basic_publish("", "full", b"x", mandatory=True)))


def cancelled(connection, channel):
    tags = []
    channel.add_on_cancel_callback(lambda frame: tags.append(frame.method.consumer_tag))
    channel.queue_declare("doomed", durable=True)
    channel.basic_consume("doomed", lambda *_: None, consumer_tag="watcher")
    connection.channel().queue_delete("doomed")
    while not tags:
        connection.process_data_events(time_limit=None)
    say("queue deleted", *tags, "is cancelled")


def expired(connection, channel):
    channel.queue_declare("late", durable=True)
    channel.queue_declare("brief", durable=True, arguments={
        "x-message-ttl": 60000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "late"})
    for expiration in "50", None:
        if expiration is None:
            channel.queue_delete("brief")
            channel.queue_declare("brief", durable=True, arguments={
                "x-message-ttl": 50, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "late"})
        channel.basic_publish("", "brief", b"x", pika.BasicProperties(expiration=expiration), mandatory=True)
        properties, _ = first(connection, channel, "late")
        (death,) = properties.headers["x-death"]
        del death["time"]
        say("dead letter", as_json(death), properties.headers["x-first-death-reason"],
            "expires" if properties.expiration else "stays")


def headers(connection, channel):
    # pika sends no floating-point numbers.
    values = {
        "yes": True, "small": -5, "large": 1 << 40, "half": decimal.Decimal("0.5"), "text": "grüße",
        "nothing": None,
        "bytes": b"\x00\xff", "list": [1, "two", [3]], "table": {"deep": {"deeper": True}},
        "at": datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.timezone.utc),
    }
    channel.basic_publish("", "late", b"", pika.BasicProperties(
        headers=values, content_type="text/plain", delivery_mode=2, priority=3, message_id="7",
        type="kind", app_id="app", timestamp=1700000000))
    p, body = first(connection, channel, "late")
    say("headers", as_json(p.headers))
    say("properties", p.content_type, p.delivery_mode, p.priority, p.message_id, p.type, p.app_id,
        p.timestamp, len(body), "bytes")


def main(url, queue):
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 1
    connection = pika.BlockingConnection(parameters)
    # pika shows only here what was agreed on.
    say("heartbeats", "every", connection._impl.params.heartbeat, "s")
    channel = connection.channel()
    channel.confirm_delivery()
    calls(connection, queue)
    refusals(channel)
    cancelled(connection, channel)
    expired(connection, channel)
    headers(connection, channel)
    # Three times as long as either side would wait for the other's heartbeats.
    connection.sleep(3)
    say("after a rest", channel.queue_declare("late", passive=True).method.message_count, "messages")
    connection.close()
    say("connection", "closed" if connection.is_closed else "open")


main(*sys.argv[1:])
