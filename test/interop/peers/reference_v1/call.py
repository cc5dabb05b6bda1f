"""A caller, written from docs/wire.md and the pages beside it.

usage: call.py --url=URL --method=NAME --body=BODY [--id=ID] [--timeout=SECONDS] [--idempotent] [--header=K=V]
       call.py --url=URL --method=NAME --resolve=ID --issued=MS --body=BODY

It makes one call, or asks what became of one, and prints one JSON object.
"""
import argparse
import itertools
import json
import random
import sys
import time
import uuid

import pika
import pika.exceptions

import warren_memory as memory
import warren_resolve as resolve
import warren_store as stores
import warren_wire as wire

RETRYABLE = {"unavailable", "resource_exhausted", "aborted", "deadline_exceeded"}
ATTEMPTS = 3


class Caller:
    """Calls, one after the other, over one connection. A reply is awaited on a queue of its own."""

    def __init__(self, url):
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.queue = "warren.reply." + str(uuid.uuid4())
        self.channel.queue_declare(self.queue, durable=True, arguments={"x-queue-type": "classic", "x-expires": 600000})
        self.channel.basic_consume(self.queue, self.on_reply, arguments={"x-priority": 1})
        self.nonces = itertools.count(random.randrange(36))
        self.arrived = []

    def close(self):
        self.channel.queue_delete(self.queue)
        self.connection.close()

    def on_reply(self, channel, delivery, properties, body):
        self.arrived.append(memory.message_of(delivery, properties, body))
        channel.basic_ack(delivery.delivery_tag)

    def call(self, key, message, kind, timeout_ms, repeat):
        """Publishes the message, again where that is allowed, and returns ("result", …) or ("error", …)."""
        issued, nonce = stores.now(), base36(next(self.nonces))
        deadline, open_attempts, proven = issued + timeout_ms, 0, True
        for attempt in range(1, ATTEMPTS + 1):
            meta = {"kind": kind, "attempt": attempt, "deadline": deadline, "issued": issued, "nonce": nonce}
            sent = self.publish(key, dict(message, type=wire.write_meta(meta)), deadline)
            if sent == "returned":
                return self.failed("unavailable", "no_route", "not_executed" if proven else "unknown", attempt)
            patience = deadline if attempt == ATTEMPTS or not repeat else min(deadline, stores.now() + max(1000, timeout_ms // 3))
            then, told = self.await_reply(message["correlation_id"], issued, nonce, patience)
            if then is None:
                proven = False
                if stores.now() >= deadline or not repeat:
                    return self.failed("deadline_exceeded", "", "unknown", attempt)
                continue
            told["attempts"] = attempt
            if then == "result":
                return then, told
            if told["outcome"] == "not_executed" and not proven:
                told["outcome"] = "unknown"
            again = told["code"] in RETRYABLE and (told["outcome"] == "not_executed" or repeat)
            if not again or told.get("reason") in ("interrupted", "too_old", "poisoned") or attempt == ATTEMPTS or told.get("retry_after", 0) < 0:
                return then, told
            proven = proven and told["outcome"] == "not_executed"
            time.sleep(min(0.1 * attempt * random.random(), max(0, deadline - stores.now()) / 1000))
        raise AssertionError("the last attempt ends")

    def publish(self, key, message, deadline):
        message = dict(message)
        body = message.pop("body")
        properties = pika.BasicProperties(reply_to=self.queue, expiration=wire.expiration(deadline - stores.now()), **message)
        try:
            self.channel.basic_publish("", key, body, properties, mandatory=True)
        except pika.exceptions.UnroutableError:
            return "returned"
        except pika.exceptions.NackError:
            return "nacked"
        return "acked"

    def await_reply(self, call_id, issued, nonce, until):
        while True:
            while self.arrived:
                message = self.arrived.pop(0)
                if wire.text(message["correlation_id"]) != call_id:
                    continue
                then, told = wire.read_reply(message, issued, nonce)
                if then != "drop":
                    return then, told
            left = until - stores.now()
            if left <= 0:
                return None, None
            self.connection.process_data_events(left / 1000)

    @staticmethod
    def failed(code, reason, outcome, attempts):
        return "error", {"code": code, "reason": reason, "outcome": outcome, "attempts": attempts}


def base36(number):
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
        if not number:
            return digits


def printable(value):
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {name: printable(element) for name, element in value.items()}
    return value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--body", default="")
    parser.add_argument("--content-type", default="")
    parser.add_argument("--id", default="")
    parser.add_argument("--resolve", default="")
    parser.add_argument("--issued", type=int)
    parser.add_argument("--timeout", type=float, default=10)
    parser.add_argument("--idempotent", action="store_true")
    args = parser.parse_args()
    caller = Caller(args.url)
    timeout_ms, body = int(args.timeout * 1000), args.body.encode()
    if args.resolve:
        question = {"call_id": args.resolve, "proof": memory.proof(args.content_type, "", body)}
        if args.issued:
            question["issued"] = args.issued
        message = resolve.write_resolve({}, str(uuid.uuid4()), question)
        then, told = caller.call(resolve.control_queue(args.method), message, "resolve", timeout_ms, True)
        if then == "result":
            told = dict(resolve.read_resolution(told["body"]), attempts=told["attempts"])
    else:
        message = {"correlation_id": args.id or str(uuid.uuid4()), "body": body}
        if args.content_type:
            message["content_type"] = args.content_type
        then, told = caller.call(args.method, message, "call", timeout_ms, args.idempotent)
    caller.close()
    print(json.dumps(dict(printable(told), then=then)))


if __name__ == "__main__":
    sys.exit(main())
