"""A caller, written from docs/wire.md and the pages beside it.

usage: call.py --url=URL --method=NAME --body=BODY [--id=ID] [--timeout=SECONDS] [--idempotent] [--header=K=V]
       call.py --url=URL --method=NAME --body=BODY --burst=N
       call.py --url=URL --method=NAME --resolve=ID --issued=MS --body=BODY

It makes one call, or N before it awaits the first reply, or asks what became of one, and prints one
JSON object.
"""
import argparse
import base64
import itertools
import json
import os
import random
import sys
import time

import pika
import pika.exceptions

import warren_bundle as bundle
import warren_memory as memory
import warren_resolve as resolve
import warren_store as stores
import warren_wire as wire
from warren_meta import base36

RETRYABLE = {"unavailable", "resource_exhausted", "aborted", "deadline_exceeded"}
ATTEMPTS = 3


class Caller:
    """Calls, one after the other, over one connection. A reply is awaited on a queue of its own."""

    def __init__(self, url):
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.queue = "warren:" + new_id()
        self.channel.queue_declare(self.queue, durable=True, arguments={"x-queue-type": "classic", "x-expires": 600000})
        self.channel.basic_consume(self.queue, self.on_reply, arguments={"x-priority": 1})
        self.nonces = itertools.count(random.randrange(1, 36))
        self.arrived, self.bundled = [], 0

    def close(self):
        self.channel.queue_delete(self.queue)
        self.connection.close()

    def on_reply(self, channel, delivery, properties, body):
        message = memory.message_of(delivery, properties, body)
        if bundle.is_bundle(message.get("type")):
            try:
                replies = bundle.read_bundle(body)
                self.arrived.extend(replies)
                self.bundled += len(replies)
            except ValueError:
                pass  # whose replies they are cannot be told
        else:
            self.arrived.append(message)
        channel.basic_ack(delivery.delivery_tag)

    def call(self, key, message, kind, timeout_ms, repeat, unique=True):
        """Publishes the message, again where that is allowed, and returns ("result", …) or ("error", …).
        unique says that its call ID was made for this call alone."""
        issued, nonce = stores.now(), base36(next(self.nonces))
        deadline, proven, attempt, most = issued + timeout_ms, True, 0, ATTEMPTS
        version = 2 if kind == "call" and (unique or repeat) else 1
        while True:
            attempt += 1
            meta = {"kind": kind, "attempt": attempt, "issued": issued}
            if version == 1 or not unique:
                meta["nonce"] = nonce
            if version == 2:
                meta["bundles"] = True
            if version == 1 or attempt > 1:
                meta["deadline"] = deadline
            # The expiration of the first one counts from its instant: it is written at once.
            left = timeout_ms if attempt == 1 else deadline - stores.now()
            sent = self.publish(key, dict(message, type=wire.write_meta(dict(meta, version=version))), left)
            if sent == "returned":
                return self.failed("unavailable", "no_route", "not_executed" if proven else "unknown", attempt)
            patience = deadline if attempt == most or not repeat else min(deadline, stores.now() + max(1000, timeout_ms // 3))
            then, told = self.await_reply(message["correlation_id"], patience, issued, nonce, version, unique)
            if then == "again":
                proven = proven and told["outcome"] == "not_executed"
                if told["outcome"] == "not_executed" or repeat:
                    version, most = 1, most + 1
                    continue
                then = "error"
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
            if not again or told.get("reason") in ("interrupted", "too_old", "poisoned") or attempt == most or told.get("retry_after", 0) < 0:
                return then, told
            proven = proven and told["outcome"] == "not_executed"
            time.sleep(min(0.1 * attempt * random.random(), max(0, deadline - stores.now()) / 1000))

    def burst(self, key, body, count, timeout_ms):
        """Publishes so many calls and awaits all replies. It returns the bodies, and how many replies came in bundles."""
        calls, issued = [new_id() for _ in range(count)], stores.now()
        for call_id in calls:
            meta = {"version": 2, "kind": "call", "issued": issued, "deadline": issued + timeout_ms, "bundles": True}
            self.publish(key, {"correlation_id": call_id, "type": wire.write_meta(meta), "body": body}, timeout_ms)
        bodies, waiting = [], set(calls)
        while waiting and stores.now() < issued + timeout_ms:
            while self.arrived:
                message = self.arrived.pop(0)
                call_id = wire.text(message["correlation_id"])
                then, told = wire.read_reply(message, issued, None, 2, True)
                if call_id in waiting and then == "result":
                    waiting.remove(call_id)
                    bodies.append(told["body"])
            self.connection.process_data_events(0.1)
        return {"bodies": sorted(printable(body) for body in bodies), "bundled": self.bundled}

    def publish(self, key, message, left):
        message = dict(message)
        body = message.pop("body")
        properties = pika.BasicProperties(reply_to=self.queue, expiration=wire.expiration(left), **message)
        try:
            self.channel.basic_publish("", key, body, properties, mandatory=True)
        except pika.exceptions.UnroutableError:
            return "returned"
        except pika.exceptions.NackError:
            return "nacked"
        return "acked"

    def await_reply(self, call_id, until, *own):
        while True:
            while self.arrived:
                message = self.arrived.pop(0)
                if wire.text(message["correlation_id"]) != call_id:
                    continue
                then, told = wire.read_reply(message, *own)
                if then != "drop":
                    return then, told
            left = until - stores.now()
            if left <= 0:
                return None, None
            self.connection.process_data_events(left / 1000)

    @staticmethod
    def failed(code, reason, outcome, attempts):
        return "error", {"code": code, "reason": reason, "outcome": outcome, "attempts": attempts}


def new_id():
    """128 random bits in 22 characters, the first of which is no hyphen."""
    while True:
        text = base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text


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
    parser.add_argument("--burst", type=int, default=0)
    args = parser.parse_args()
    caller = Caller(args.url)
    timeout_ms, body = int(args.timeout * 1000), args.body.encode()
    if args.burst:
        then, told = "burst", caller.burst(args.method, body, args.burst, timeout_ms)
    elif args.resolve:
        question = {"call_id": args.resolve, "proof": memory.proof(args.content_type, "", body)}
        if args.issued:
            question["issued"] = args.issued
        message = resolve.write_resolve({}, new_id(), question)
        then, told = caller.call(resolve.control_queue(args.method), message, "resolve", timeout_ms, True)
        if then == "result":
            told = dict(resolve.read_resolution(told["body"]), attempts=told["attempts"])
    else:
        message = {"correlation_id": args.id or new_id(), "body": body}
        if args.content_type:
            message["content_type"] = args.content_type
        then, told = caller.call(args.method, message, "call", timeout_ms, args.idempotent, not args.id)
    caller.close()
    print(json.dumps(dict(printable(told), then=then)))


if __name__ == "__main__":
    sys.exit(main())
