"""Runs the vectors of docs/wire/vectors.json against this peer, and prints {"vectors": n, "failed": [...]}.

usage: vectors.py FILE
"""
import json
import re
import sys

import warren_bundle as bundle
import warren_memory as memory
import warren_resolve as resolve
import warren_wire as wire


def message_of(vector):
    """The message that a vector writes down."""
    message = dict(vector)
    if "type_hex" in message:
        message["type"] = bytes.fromhex(message.pop("type_hex"))
    message["body"] = b"\0" * message.pop("body_bytes") if "body_bytes" in message else message.get("body", "").encode()
    return message


def type_of(vector):
    return bytes.fromhex(vector["type_hex"]) if "type_hex" in vector else vector["type"]


def same(got, want, what):
    if got != want:
        raise AssertionError("%s: %r; want %r" % (what, got, want))


def written(v):
    same(wire.read_meta(type_of(v)), v["fields"], "read")
    same(wire.write_meta(v["fields"]), v["type"], "written")


def accepted(v):
    same(wire.read_meta(type_of(v)), v["fields"], "read")


def refused(v):
    try:
        got = wire.read_meta(type_of(v))
    except wire.BadMetadata as why:
        same(why.version, v["because"] == "version", "another version")
        return
    raise AssertionError("read as %r" % got)


def plain(v):
    same(wire.is_warren(type_of(v)), False, "Warren's")


def outcome_of(read):
    """What read makes of a message, with how it ended."""
    try:
        return "done", read()
    except wire.Refused as refused:
        return "refuse", {"code": refused.code, "reason": refused.reason}
    except wire.Dropped:
        return "drop", None


def requests(v):
    then, got = outcome_of(lambda: wire.read_request(message_of(v["message"]), ("orders.create",)))
    same("serve" if then == "done" else then, v["then"], "then")
    if then == "refuse":
        same(got, {"code": v["code"], "reason": v["reason"]}, "refused as")
    if then == "done":
        for name, default in (("version", 1), ("plain", False), ("one_way", False), ("attempt", 1), ("deadline", None), ("nonce", None), ("headers", {})):
            same(got.get(name, default), v.get(name, default), name)


def replies(v):
    then, got = wire.read_reply(message_of(v["message"]), v.get("issued"), v.get("nonce"), v.get("version", 1), v.get("unique", False))
    same(then, v["then"], "then")
    if then == "result":
        for name, default in (("plain", False), ("replayed", False), ("headers", {})):
            same(got[name], v.get(name, default), name)
    if then in ("error", "again"):
        for name in ("code", "reason", "outcome", "text", "details", "replayed"):
            if name in v:
                same(got.get(name), v[name], name)


def errors(v):
    request = {name: v[name] for name in ("version", "plain", "attempt", "issued", "nonce") if name in v}
    request["call_id"] = "17"
    got = wire.write_error(request, v["error"])
    same(got["type"], v["message"]["type"], "type")
    same(got["content_type"], v["message"]["content_type"], "content_type")
    if v["plain"]:
        same(got["body"].decode(), v["message"]["body"], "body")
    else:
        same(json.loads(got["body"]), json.loads(v["message"]["body"]), "body")


def duration_ms(written_as_go):
    units = {"h": 3600000, "m": 60000, "s": 1000, "ms": 1}
    sign = -1 if written_as_go.startswith("-") else 1
    return sign * sum(float(n) * units[u] for n, u in re.findall(r"([0-9.]+)(h|ms|m|s)", written_as_go))


def expiration(v):
    same(wire.expiration(duration_ms(v["left"])), v["expiration"], "expiration")


def proofs(v):
    same(memory.proof(v["content_type"], v["content_encoding"], v["body"].encode()), v["proof"], "proof")


def resolves(v):
    then, got = outcome_of(lambda: resolve.read_resolve(message_of(v["message"]), "orders.create"))
    same("resolve" if then == "done" else then, v["then"], "then")
    if then == "refuse":
        same(got, {"code": v["code"], "reason": v["reason"]}, "refused as")
    if then != "done":
        return
    request, question = got
    for name in ("attempt", "deadline", "issued", "nonce"):
        same(request.get(name), v.get(name), name)
    for name in ("call_id", "call_issued", "proof"):
        same(question.get(name.replace("call_issued", "issued")), v.get(name), name)
    if v.get("written"):
        meta = {name: request[name] for name in ("attempt", "deadline", "issued", "nonce") if name in request}
        message = resolve.write_resolve(meta, request["call_id"], question)
        same(message["type"], v["message"]["type"], "type")
        same(message["body"].decode(), v["message"]["body"], "body")


def resolutions(v):
    try:
        got = resolve.read_resolution(v["body"])
    except ValueError:
        same("refuse", v["then"], "then")
        return
    same(got["state"], v["then"], "then")
    same(got["outcome"], v["outcome"], "outcome")
    same(got["retained"], v.get("retained", False), "retained")
    if "reply" in got:
        same(got["reply"]["body"].decode(), v.get("text", ""), "body")
        same(got["reply"]["headers"], v.get("headers", {}), "headers")
    if "error" in got:
        for name, default in (("code", ""), ("reason", ""), ("text", ""), ("details", {}), ("incident", ""), ("retry_after", 0)):
            same(got["error"][name], v.get(name, default), name)
    if v.get("written"):
        again = resolve.write_resolution(got["state"], got["outcome"], got.get("reply"), got.get("error"))
        same(json.loads(again), json.loads(v["body"]), "written")


def bundles(v):
    body = bytes.fromhex(v["body_hex"])
    try:
        got = bundle.read_bundle(body)
    except ValueError:
        same("drop", v.get("then"), "then")
        return
    want = [message_of(reply) for reply in v["replies"]]
    same(len(got), len(want), "replies")
    for reply, alone in zip(got, want):
        for name in ("correlation_id", "type", "content_type", "body"):
            same(wire.raw(reply[name]), wire.raw(alone.get(name)), name)
    if v.get("written"):
        same(bundle.write_bundle(want), body, "written")


LISTS = {f.__name__: f for f in (written, accepted, refused, plain, requests, replies, errors, expiration, proofs, resolves, resolutions, bundles)}


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        lists = json.load(f)
    count, failed = 0, ["no such list here: " + name for name in lists if name not in LISTS]
    for name in LISTS:
        for vector in lists[name]:
            count += 1
            try:
                LISTS[name](vector)
            except Exception as why:  # one vector that fails must not hide the others
                failed.append("%s: %s: %s: %s" % (name, json.dumps(vector), type(why).__name__, why))
    print(json.dumps({"vectors": count, "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
