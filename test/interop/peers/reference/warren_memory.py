"""By what a server that remembers knows calls, requests and itself (docs/wire/memory.md)."""
import datetime
import hashlib

import warren_store as stores
import warren_wire as wire

ALLOWANCE_MS = 10_000

# Nobody writes to these queues; what counts is that they are there.
SEALED = {"x-max-length": 0, "x-overflow": "reject-publish"}


def message_of(delivery, properties, body):
    """A delivery of pika's as what warren_wire reads."""
    message = {name: getattr(properties, name) for name in (
        "type", "correlation_id", "reply_to", "expiration", "app_id", "content_type", "content_encoding", "headers")}
    return dict(message, redelivered=delivery.redelivered, body=body)


def _digest(*parts):
    """The SHA-256 of the parts, each after its length (7 bits a byte, least significant first)."""
    hashed = hashlib.sha256()
    for part in parts:
        length, prefix = len(part), b""
        while length >= 0x80:
            prefix, length = prefix + bytes([length & 0x7F | 0x80]), length >> 7
        hashed.update(prefix + bytes([length]) + part)
    return hashed.digest()


def proof(content_type, content_encoding, body):
    """What shows that who asks about a call knows it, in hexadecimal digits."""
    return _digest(content_type.encode(), content_encoding.encode(), body)[:16].hex()


def key(method, request):
    """What names a call in the store: a plain caller's IDs count within its reply queue."""
    reply_to = request["reply_to"] if request["plain"] else ""
    return _digest(method.encode(), request["call_id"].encode(), reply_to.encode())


def grave(call_key, fingerprint):
    """What names the tombstone of a call that never came: of those requests alone that have this proof."""
    return _digest(call_key, fingerprint[:16])


def too_old(request, retention_ms):
    """Whether the call's record may have been forgotten already."""
    return "issued" in request and request["issued"] < stores.now() - retention_ms + ALLOWANCE_MS


def needed_until(request):
    """Until when the call's record must be kept, whatever the retention."""
    now = stores.now()
    return min(max(request.get("deadline", 0) + ALLOWANCE_MS, request.get("issued", 0)), now + 90 * 24 * 3600 * 1000)


def proves_absence(question, store):
    """Whether a call without a record, that was issued then, has never run."""
    issued, now = question.get("issued"), stores.now()
    return (issued is not None and issued > now - store.retention_ms + ALLOWANCE_MS
            and issued > store.created + ALLOWANCE_MS and issued <= now + ALLOWANCE_MS)


def own(channel, method):
    """Makes this connection the one that serves the method: its memory is this server's alone."""
    channel.queue_declare("warren.owner." + method, exclusive=True, arguments=dict(SEALED, **{"x-queue-type": "classic"}))


def identify(channel, method, store_id, created_ms):
    """Says which store remembers the method, or fails (406) if that is another."""
    birth = datetime.datetime.fromtimestamp(created_ms // 1000, datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    channel.queue_declare("warren.memory." + method, durable=True, arguments=dict(SEALED, **{
        "x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": store_id + "@" + birth}))


def _trace(name):
    return name.lower() in ("traceparent", "tracestate", "baggage")


def fingerprint(request):
    """What tells another request with the same ID: the proof of the call, and its headers."""
    headers = request["headers"]
    parts = [part for name in sorted(headers) if not _trace(name) for part in (name.encode(), headers[name].encode())]
    return bytes.fromhex(proof(request["content_type"], request["content_encoding"], request["body"])) + _digest(*parts)[:16]
