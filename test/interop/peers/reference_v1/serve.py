"""A server that remembers, written from docs/wire.md and the pages beside it.

usage: serve.py --url=URL --method=NAME --store=FILE [--mode=at-least-once|at-most-once]

A request's body is a JSON object: {"do": "echo", "text": …} is answered with the text, {"do": "fail"} with
not_found/no_such_user, {"do": "sleep", "ms": …, "text": …} with the text after a while, {"do": "away"} with
unavailable. Each counts as one effect of its call, and {"do": "count"} is answered with their number.
It prints {"ready": true} once it consumes.
"""
import argparse
import concurrent.futures
import json
import sys
import time

import pika
import pika.exceptions

import warren_memory as memory
import warren_resolve as resolve
import warren_store as stores
import warren_wire as wire

MOST_TOMBSTONES = 1000
DIRECT = "amq.rabbitmq.reply-to"
NOT_STORED = {"unavailable", "resource_exhausted", "aborted", "deadline_exceeded", "canceled"}


def handle(store_effect, request):
    """The application: ("result", {…}) or ("error", {…})."""
    try:
        asked = json.loads(request["body"])
        do = asked["do"]
    except (ValueError, KeyError, TypeError):
        return "error", {"code": "invalid_argument", "outcome": "executed", "text": "not a task"}
    effects = store_effect(request["call_id"])
    if do == "sleep":
        time.sleep(asked["ms"] / 1000)
    if do in ("echo", "sleep"):
        return "result", {"content_type": "text/plain", "body": asked["text"].encode().decode("latin-1"),
                          "headers": {"served-by": "python"}}
    if do == "count":
        return "result", {"content_type": "application/json", "body": str(effects)}
    if do == "fail":
        return "error", {"code": "not_found", "reason": "no_such_user", "outcome": "executed",
                         "text": "there is no user 2", "details": {"user": "2"}}
    return "error", {"code": "unavailable", "outcome": "executed", "text": "come later"}


class Server:
    """Serves one method over one connection, whose thread calls everything but handlers."""

    def __init__(self, args):
        self.method, self.mode = args.method, args.mode
        self.store = stores.Store(args.store)
        self.running = {}  # key: (fingerprint, requests that wait for the same end)
        self.workers = concurrent.futures.ThreadPoolExecutor(16)
        self.connection = pika.BlockingConnection(pika.URLParameters(args.url))
        self.replies = self.connection.channel()
        self.replies.confirm_delivery()
        self.requests = self.connection.channel()
        self.requests.basic_qos(prefetch_count=32)

    def start(self):
        memory.own(self.requests, self.method)
        memory.identify(self.requests, self.method, self.store.id, self.store.created)
        self.requests.queue_declare(self.method, durable=True, arguments={"x-queue-type": "quorum"})
        control = resolve.control_queue(self.method)
        self.requests.queue_declare(control, durable=True, arguments={"x-queue-type": "classic"})
        self.requests.basic_consume(self.method, self.on_request)
        self.requests.basic_consume(control, self.on_question)
        print(json.dumps({"ready": True}), flush=True)
        self.requests.start_consuming()

    # Requests (section 5)

    def on_request(self, _channel, delivery, properties, body):
        message = memory.message_of(delivery, properties, body)
        tag = delivery.delivery_tag
        try:
            request = wire.read_request(message, (self.method,))
        except wire.Dropped:
            self.requests.basic_ack(tag)
            return
        except wire.Refused as refused:
            self.refuse(tag, refused.request, refused.code, refused.reason, refused.message)
            return
        request["tag"] = tag
        if request.get("deadline", stores.now() + 1) <= stores.now():
            self.refuse(tag, request, "deadline_exceeded", "expired")
        elif not request["call_id"]:
            if self.mode == "at-most-once":
                self.refuse(tag, request, "invalid_argument", "missing_identifier")
            else:
                self.run(request, None)
        else:
            self.look_up(request)

    def look_up(self, request):
        """What the record says (docs/wire/memory.md)."""
        tag, key, fingerprint = request["tag"], memory.key(self.method, request), memory.fingerprint(request)
        if key in self.running:
            running, waiting = self.running[key]
            if running != fingerprint:
                self.refuse(tag, request, "already_exists", "key_reused")
            else:
                waiting.append(request)
            return
        state, known, end = self.store.get(key)
        if state == "absent" and self.store.get(memory.grave(key, fingerprint))[0] == "tombstone":
            self.refuse(tag, request, "canceled", "", "the call was cancelled before it was begun")
        elif state != "absent" and known != fingerprint:
            self.refuse(tag, request, "already_exists", "key_reused")
        elif state == "tombstone":
            self.answer(request, "error", {"code": "canceled", "outcome": "unknown"})
        elif state in ("completed", "failed"):
            self.answer(request, end[0], dict(end[1], replayed=True))
        elif self.mode == "at-most-once" and state == "interrupted":
            self.answer(request, "error", {"code": "aborted", "reason": "interrupted", "outcome": "unknown"})
        elif self.mode == "at-most-once" and request.get("issued", 0) > stores.now() + self.store.retention_ms:
            self.refuse(tag, request, "invalid_argument", "bad_request", "made in a time that is to come")
        elif self.mode == "at-most-once" and memory.too_old(request, self.store.retention_ms):
            self.answer(request, "error", {"code": "aborted", "reason": "too_old", "outcome": "unknown"})
        else:
            self.store.put(key, fingerprint, "in_progress", until=memory.needed_until(request))
            self.running[key] = (fingerprint, [request])
            self.run(request, key)

    def run(self, request, key):
        print(json.dumps({"began": request["call_id"]}), flush=True)

        def effect(call_id):
            done = concurrent.futures.Future()
            self.connection.add_callback_threadsafe(lambda: done.set_result(self.store.effect(call_id)))
            return done.result()

        def ended(future):
            self.connection.add_callback_threadsafe(lambda: self.end(request, key, *future.result()))

        self.workers.submit(handle, effect, request).add_done_callback(ended)

    def end(self, request, key, kind, told):
        """Records how the call ended, and then answers all who wait for it."""
        waiting = [request]
        if key is not None:
            fingerprint, waiting = self.running.pop(key)
            state = "completed" if kind == "result" else "failed"
            if state == "failed" and self.mode != "at-most-once" and told["code"] in NOT_STORED:
                state = "interrupted"
            self.store.put(key, fingerprint, state, (kind, told), memory.needed_until(request))
        for one in waiting:
            self.answer(one, kind, told if one is request else dict(told, replayed=True))

    # Answers (sections 6 and 7)

    def answer(self, request, kind, told):
        """Publishes the reply, and then acknowledges."""
        if kind == "error" and told["outcome"] == "not_executed":
            self.refuse(request["tag"], request, told["code"], told.get("reason", ""))
            return
        if not request["one_way"]:
            self.publish(request, kind, told)
        self.requests.basic_ack(request["tag"])

    def refuse(self, tag, request, code, reason, message=""):
        """Acknowledges, and answers once the broker has taken that."""
        self.requests.basic_ack(tag)
        if request["one_way"]:
            return
        self.requests.basic_qos(prefetch_count=32)  # the question that the broker answers
        outcome = "unknown" if request["redelivered"] else "not_executed"
        self.publish(request, "error", {"code": code, "reason": reason, "text": message, "outcome": outcome})

    def publish(self, request, kind, told):
        if kind == "result":
            message = wire.write_result(request, dict(told, body=told["body"].encode("latin-1")))
        else:
            message = wire.write_error(request, told)
        body = message.pop("body")
        try:
            self.replies.basic_publish("", request["reply_to"], body, pika.BasicProperties(**message),
                                       mandatory=not request["reply_to"].startswith(DIRECT))
        except pika.exceptions.UnroutableError:
            pass  # the caller has gone

    # Questions (docs/wire/memory.md)

    def on_question(self, _channel, delivery, properties, body):
        message = memory.message_of(delivery, properties, body)
        tag = delivery.delivery_tag
        try:
            request, question = resolve.read_resolve(message, self.method)
        except wire.Dropped:
            self.requests.basic_ack(tag)
            return
        except wire.Refused as refused:
            self.refuse(tag, refused.request, refused.code, refused.reason, refused.message)
            return
        request["tag"] = tag
        if request.get("deadline", stores.now() + 1) <= stores.now():
            self.refuse(tag, request, "deadline_exceeded", "expired")
            return
        try:
            body = self.resolve(question)
        except wire.Refused as refused:
            self.refuse(tag, request, refused.code, refused.reason, refused.message)
            return
        self.answer(request, "result", {"content_type": "application/json", "body": body.decode("latin-1")})

    def resolve(self, question):
        """What became of the call; afterwards it cannot begin any more, if it has not."""
        if "proof" not in question:
            raise wire.Refused("permission_denied", "not_proven")
        proof = bytes.fromhex(question["proof"])
        key = memory.key(self.method, {"call_id": question["call_id"], "plain": False})
        state, known, end = self.store.get(key)
        if state != "absent" and not known.startswith(proof):
            raise wire.Refused("permission_denied", "not_proven")
        if state == "in_progress":
            return resolve.write_resolution("in_progress", "unknown")
        if state == "completed":
            return resolve.write_resolution("completed", "executed", reply=dict(end[1], body=end[1]["body"].encode("latin-1")))
        if state == "failed":
            return resolve.write_resolution("failed", end[1]["outcome"], error=end[1])
        if state != "absent":  # it was begun, and what it did cannot be told
            self.store.put(key, known, "tombstone")
            return resolve.write_resolution("canceled", "unknown")
        if self.store.tombstones() >= MOST_TOMBSTONES:
            raise wire.Refused("resource_exhausted", "store_full")
        self.store.put(memory.grave(key, proof), proof, "tombstone")
        never = memory.proves_absence(question, self.store)
        return resolve.write_resolution("canceled", "not_executed" if never else "unknown")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--url", "--method", "--store"):
        parser.add_argument(name, required=True)
    parser.add_argument("--mode", default="at-least-once")
    Server(parser.parse_args()).start()


if __name__ == "__main__":
    sys.exit(main())
