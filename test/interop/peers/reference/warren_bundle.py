"""Several replies in one message, as docs/wire/delivery.md specifies it in section 6. No I/O."""
import re

import warren_wire as wire

REPLY = b"warren/2r"


def is_bundle(typ):
    return re.match(rb"warren/2m(;|\Z)", wire.raw(typ)) is not None


def read_bundle(body):
    """The replies in a bundle, each as the message that it would have been alone; ValueError if they
    cannot be told apart."""
    if not body or not body[0]:
        raise ValueError("empty")
    at, heads = 1, []

    def take(length):
        nonlocal at
        if at + length > len(body):
            raise ValueError("too short")
        at += length
        return body[at - length:at]

    for _ in range(body[0]):
        heads.append([take(take(1)[0]) for _ in range(4)] + [int.from_bytes(take(4), "big")])
    replies = []
    for call_id, items, content_type, content_encoding, length in heads:
        replies.append({
            "correlation_id": wire.text(call_id), "type": REPLY + items, "content_type": wire.text(content_type),
            "content_encoding": wire.text(content_encoding), "body": take(length),
        })
    if at != len(body):
        raise ValueError("too long")
    return replies


def write_bundle(replies):
    """The body of a bundle."""
    heads, bodies = b"", b""
    for reply in replies:
        items = wire.raw(reply["type"])[len(REPLY):]
        for value in (reply.get("correlation_id"), items, reply.get("content_type"), reply.get("content_encoding")):
            heads += bytes([len(wire.raw(value))]) + wire.raw(value)
        heads += len(reply["body"]).to_bytes(4, "big")
        bodies += reply["body"]
    return bytes([len(replies)]) + heads + bodies
