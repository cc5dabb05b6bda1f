"""Warren's messages, as docs/wire.md and the pages beside it specify them.

No I/O and nothing but the standard library: what is here turns AMQP properties into
requests, replies and questions, and back. Properties are what pika gives: text, or
bytes where a short string is not UTF-8.
"""
import json
import re

from warren_meta import CODES, MAX_INSTANT, MAX_WAIT, OUTCOMES, BadMetadata, is_warren, raw, read_meta, text, version_of, write_meta  # noqa: F401

MAX_BODY = 1 << 20
MAX_RESOLVE = 1 << 10


class Refused(Exception):
    """What a server tells of a message that it does not serve."""

    def __init__(self, code, reason, message=""):
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


class Dropped(Exception):
    """A message that is acknowledged and not answered."""


def expiration(left_ms):
    """What is left of a deadline, for the property."""
    return str(int(max(1, min(left_ms, 4000000000))))


# Headers (sections 4 and 5)

def is_brokers(name):
    return (name in ("CC", "BCC", "x-death", "x-delivery-count", "x-acquired-count")
            or name.startswith("x-first-death-") or name.startswith("x-last-death-"))


def read_headers(table):
    """The headers that a handler sees; refuses what is out of bounds."""
    table = {text(name): value for name, value in (table or {}).items()}
    own = {name: value for name, value in table.items() if not is_brokers(name)}
    if len(own) > 64:
        raise Refused("invalid_argument", "bad_request", "too many headers")
    if _weigh(own, 3) > 16384:
        raise Refused("invalid_argument", "bad_request", "the headers are too long")
    seen = {}
    for name, value in own.items():
        if not isinstance(value, (dict, list)):
            seen[name] = _text_of(value)
    return seen


def _weigh(value, depth):
    if isinstance(value, (dict, list)):
        if depth == 0:
            raise Refused("invalid_argument", "bad_request", "the headers are nested too deep")
        if isinstance(value, list):
            return sum(_weigh(element, depth - 1) for element in value)
        return sum(len(raw(name)) + _weigh(element, depth - 1)
                   for name, element in value.items() if not is_brokers(text(name)))
    if isinstance(value, (str, bytes)):
        return len(raw(value))
    return 8


def _text_of(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, str)):
        return text(value)
    if hasattr(value, "strftime"):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def was_handed_out(message):
    """Whether the broker has delivered the message before."""
    headers = {text(name): value for name, value in (message.get("headers") or {}).items()}
    count = headers.get("x-delivery-count")
    return bool(message.get("redelivered")) or "x-death" in headers or count not in (None, 0, "", "0")


def is_call_id(value):
    return re.fullmatch(rb"[ -~]{1,128}", raw(value)) is not None


# Requests (section 5, rules 1 to 6)

def read_request(message, methods=(), kind="call", max_body=MAX_BODY):
    """The request in a message, or Refused, or Dropped. Refused has the request, too, as far as it
    could be read, so that the answer can be addressed."""
    request = {
        "call_id": text(message.get("correlation_id")), "reply_to": text(message.get("reply_to")),
        "caller": text(message.get("app_id")), "attempt": 1, "plain": not is_warren(message.get("type")),
        "redelivered": was_handed_out(message), "version": version_of(message.get("type")) or 1,
    }
    request["one_way"] = not request["reply_to"]
    try:
        _check_request(message, request, methods, kind, max_body)
    except Refused as refused:
        refused.request = request
        raise
    return request


def _check_request(message, request, methods, kind, max_body):
    bad = None
    if not request["plain"]:
        try:
            meta = read_meta(message["type"])
            if meta["kind"] != kind:
                raise Dropped("another kind")
            for name in ("attempt", "deadline", "issued", "nonce"):
                if name in meta:
                    request[name] = meta[name]
            if request["version"] == 2 and "issued" in meta and "deadline" not in meta:
                lives = re.fullmatch("[0-9]{1,10}", _expiration_of(message))
                if lives and int(lives.group()):
                    request["deadline"] = min(MAX_INSTANT, meta["issued"] + int(lives.group()))
        except BadMetadata as why:
            bad = why
    if request["reply_to"] in methods:
        raise Dropped("the answer would be the next request")
    if bad:
        raise Refused("invalid_argument", "bad_request", str(bad))
    body = message.get("body", b"")
    if len(body) > max_body:
        raise Refused("resource_exhausted", "request_too_large")
    if message.get("correlation_id") and not is_call_id(message["correlation_id"]):
        raise Refused("invalid_argument", "bad_request", "not a call ID")
    request["headers"] = read_headers(message.get("headers"))
    request["content_type"] = text(message.get("content_type"))
    request["content_encoding"] = text(message.get("content_encoding"))
    request["body"] = body


def _expiration_of(message):
    """That of the message, or the one that the broker took away as it dead-lettered it."""
    if message.get("expiration"):
        return text(message["expiration"])
    for death in (message.get("headers") or {}).get("x-death") or []:
        if isinstance(death, dict) and "original-expiration" in death:
            return text(death["original-expiration"])
    return ""


# Replies (section 6)

def reply_meta(request):
    """The metadata with which every reply to the request begins."""
    meta = {"kind": "reply", "attempt": request["attempt"], "version": request.get("version", 1)}
    if "nonce" in request:
        meta["nonce"] = request["nonce"]
    elif "issued" in request and meta["version"] == 1:
        meta["issued"] = request["issued"]
    return meta


def write_result(request, result):
    """The properties and body that answer request with a result: content_type, content_encoding,
    headers, body, replayed."""
    meta = reply_meta(request)
    if result.get("replayed"):
        meta["replayed"] = True
    message = {"correlation_id": request["call_id"], "type": write_meta(meta), "body": result.get("body", b"")}
    for name in ("content_type", "content_encoding", "headers"):
        if result.get(name):
            message[name] = result[name]
    return message


def error_line(error):
    line = error["code"] + ("/" + error["reason"] if error.get("reason") else "")
    if error.get("text"):
        line += ": " + re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", error["text"])
    return line


def write_error(request, error):
    """The properties and body that answer request with an error."""
    meta = reply_meta(request)
    for name in ("code", "reason", "outcome", "retry_after", "incident", "replayed"):
        if error.get(name):
            meta[name] = error[name]
    message = {"correlation_id": request["call_id"], "type": write_meta(meta)}
    if request["plain"]:
        return dict(message, content_type="text/plain", body=error_line(error).encode())
    body = {}
    if error.get("text"):
        body["message"] = error["text"]
    if error.get("details"):
        body["details"] = error["details"]
    return dict(message, content_type="application/json", body=to_json(body))


def to_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def read_reply(message, issued=None, nonce=None, version=1, unique=False, max_body=MAX_BODY):
    """What a client makes of a message with its call's correlation_id: ("result", {…}), ("error", {…}),
    ("drop", None) or, if an attempt of version 2 is refused for that, ("again", {…})."""
    plain, meta = not is_warren(message.get("type")), {}
    if not plain:
        try:
            meta = read_meta(message["type"])
        except BadMetadata:
            return "error", _bad_reply()
        if meta.get("version") == 2:
            own = meta.get("nonce") == (None if unique else nonce)
        else:
            own = meta["nonce"] == nonce if "nonce" in meta else meta.get("issued") == issued
        if not own and version == 2 and _refuses_version(meta):
            told = _read_error(meta, message.get("body", b""))
            if not unique or message.get("redelivered"):
                told["outcome"] = "unknown"
            return "again", told
        if not own:
            return "drop", None  # of another invocation
        if meta["kind"] != "reply":
            return "error", _bad_reply()
        if "code" in meta:
            return "error", _read_error(meta, message.get("body", b""))
    if len(message.get("body", b"")) > max_body:
        return "error", {"code": "resource_exhausted", "reason": "reply_too_large", "outcome": "executed"}
    try:
        headers = read_headers(message.get("headers"))
    except Refused:
        return "error", _bad_reply()
    return "result", {
        "plain": plain, "headers": headers, "body": message.get("body", b""), "replayed": meta.get("replayed", False),
        "content_type": text(message.get("content_type")),
    }


def _refuses_version(meta):
    return ("version" not in meta and meta["kind"] == "reply" and "nonce" not in meta and "issued" not in meta
            and (meta.get("code"), meta.get("reason")) == ("invalid_argument", "bad_request"))


def _bad_reply():
    return {"code": "internal", "reason": "bad_reply", "outcome": "unknown"}


def _read_error(meta, body):
    error = {name: meta[name] for name in ("code", "reason", "outcome", "retry_after", "incident", "replayed") if name in meta}
    told = None
    if len(body) <= 65536:
        try:
            told = json.loads(body or b"null")
        except ValueError:
            pass
    if isinstance(told, dict) and _is_error_body(told):
        error["text"], error["details"] = told.get("message", ""), told.get("details", {})
    else:
        error["text"], error["details"] = body[:4096].decode(errors="replace"), {}
    return error


def _is_error_body(told):
    details = told.get("details", {})
    return (isinstance(told.get("message", ""), str) and isinstance(details, dict)
            and all(isinstance(value, str) for value in details.values()))
