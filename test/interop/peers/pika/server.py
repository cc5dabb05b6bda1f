"""A recipe server with options.

It reports what happens as one JSON object per line: ready, request (with the request's properties),
returned, replied, acked. A body that is not a number ends it in the modes fib and email, as it ends the
recipe's server.
"""

import argparse
import json
import signal

import pika
import pika.exceptions

ADDRESSES = {
    1: "ada@example.org", 2: "blaise@example.org", 3: "charles@example.org",
    4: "donald@example.org", 5: "edsger@example.org",
}


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--queue-type", choices=["quorum", "classic", "transient"], default="quorum")
    parser.add_argument("--mode", choices=["fib", "echo", "email"], default="fib")
    parser.add_argument("--replies", type=int, default=1, help="how often each request is answered")
    parser.add_argument("--hold", choices=["before-reply", "before-ack"],
                        help="stop there with the first request, until killed")
    parser.add_argument("--confirm", action="store_true",
                        help="wait for the broker to confirm each reply, and report it if it comes back")
    return parser.parse_args()


def declare(channel, queue, queue_type):
    arguments = {"x-queue-type": "quorum"} if queue_type == "quorum" else None
    channel.queue_declare(queue, durable=queue_type != "transient", arguments=arguments)


def report(event, **details):
    print(json.dumps({"event": event, **details}, default=str), flush=True)


def fib(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def result(mode, body):
    if mode == "echo":
        return body
    if mode == "email":
        return ADDRESSES.get(int(body), "").encode()
    return str(fib(int(body))).encode()


def serve(channel, opts):
    def on_request(_channel, method, properties, body):
        report("request",
               correlation_id=properties.correlation_id,
               reply_to=properties.reply_to,
               type=properties.type,
               content_type=properties.content_type,
               expiration=properties.expiration,
               delivery_mode=properties.delivery_mode,
               headers=properties.headers,
               redelivered=method.redelivered,
               size=len(body))
        answer = result(opts.mode, body)
        if opts.hold == "before-reply":
            signal.pause()
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        for _ in range(opts.replies):
            try:
                channel.basic_publish("", properties.reply_to, answer, reply, mandatory=opts.confirm)
            except pika.exceptions.UnroutableError:
                report("returned", correlation_id=properties.correlation_id)
        report("replied", correlation_id=properties.correlation_id)
        if opts.hold == "before-ack":
            signal.pause()
        channel.basic_ack(method.delivery_tag)
        report("acked", correlation_id=properties.correlation_id)

    if opts.confirm:
        channel.confirm_delivery()
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(opts.queue, on_request)
    report("ready")
    channel.start_consuming()


def main():
    opts = options()
    channel = pika.BlockingConnection(pika.URLParameters(opts.url)).channel()
    declare(channel, opts.queue, opts.queue_type)
    serve(channel, opts)


main()
