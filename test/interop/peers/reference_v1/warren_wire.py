"""Warren's messages, as docs/wire.md and the pages beside it specify them.

No I/O and nothing but the standard library: what is here turns AMQP properties into
requests, replies and questions, and back. Properties are what pika gives: text, or
bytes where a short string is not UTF-8.
"""
import json
import re

MAX_BODY = 1 << 20
MAX_INSTANT = 253402300799999
MAX_WAIT = 604800000
MAX_RESOLVE = 1 << 10

CODES = {
    "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
    "permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range",
    "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated",
}
KINDS = {"call", "reply", "resolve", "cancel"}
OUTCOMES = {"unknown", "not_executed", "executed"}


class BadMetadata(Exception):
    """A `type` that is Warren's and cannot be read. `version` tells one of another version."""

    def __init__(self, why, version=False):
        super().__init__(why)
        self.version = version


class Refused(Exception):
    """What a server tells of a message that it does not serve."""

    def __init__(self, code, reason, message=""):
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


class Dropped(Exception):
    """A message that is acknowledged and not answered."""


def raw(value):
    """A short string as the bytes that it has on the wire."""
    if value is None:
        return b""
    return value if isinstance(value, bytes) else value.encode()


def text(value):
    return raw(value).decode(errors="replace")


# Metadata (section 3)

def is_warren(typ):
    return raw(typ).startswith(b"warren/")


def _number(value, low, high):
    if not re.fullmatch(rb"[+-]?[0-9]+", value):
        raise BadMetadata("not a number")
    number = int(value)
    if not low <= number <= high:
        raise BadMetadata("out of bounds")
    return number


def read_meta(typ):
    """The fields of a `type` for which is_warren holds."""
    rest = raw(typ)
    if not re.match(rb"warren/1(;|\Z)", rest):
        raise BadMetadata("version", version=True)
    rest = rest[len(b"warren/1"):]
    if rest.startswith(b";"):
        rest = rest[1:]
    if rest.endswith(b";") and rest != b";":
        rest = rest[:-1]
    fields, seen = {}, set()
    for item in rest.split(b";") if rest else []:
        name, separator, value = item.partition(b"=")
        if not separator or not name:
            raise BadMetadata("not name=value")
        if not re.fullmatch(rb"[a-z]", name):
            continue
        if name in seen:
            raise BadMetadata("twice")
        seen.add(name)
        _read_item(fields, name, value)
    if "kind" not in fields:
        raise BadMetadata("no kind")
    if "code" in fields:
        fields.setdefault("outcome", "unknown")
    return fields


def _read_item(fields, name, value):
    plain = value.decode("latin-1")
    if name == b"k":
        if plain not in KINDS:
            raise BadMetadata("not a kind")
        fields["kind"] = plain
    elif name == b"n":
        fields["attempt"] = _number(value, 1, 1000000)
    elif name == b"d":
        fields["deadline"] = _number(value, 1, MAX_INSTANT)
    elif name == b"t":
        fields["issued"] = _number(value, 1, MAX_INSTANT)
    elif name == b"x":
        if not re.fullmatch(rb"[0-9a-z]{1,16}", value):
            raise BadMetadata("not a nonce")
        fields["nonce"] = plain
    elif name == b"c":
        fields["code"] = plain if plain in CODES else "unknown"
    elif name == b"r":
        if not re.fullmatch(rb"[a-z0-9_]{0,64}", value):
            raise BadMetadata("not a reason")
        if plain:
            fields["reason"] = plain
    elif name == b"o":
        if plain not in OUTCOMES:
            raise BadMetadata("not an outcome")
        fields["outcome"] = plain
    elif name == b"w":
        wait = max(-1, min(MAX_WAIT, _number(value, -10**400, 10**400)))
        if wait:
            fields["retry_after"] = wait
    elif name == b"i":
        if not re.fullmatch(rb"[!-:<>-~]{0,36}", value):
            raise BadMetadata("not an incident")
        if plain:
            fields["incident"] = plain
    elif name == b"p":
        if plain == "1":
            fields["replayed"] = True


def write_meta(fields):
    """The `type` that says fields, as senders write it."""
    items = ["warren/1", "k=" + fields["kind"]]
    for key, name in (("n", "attempt"), ("d", "deadline"), ("t", "issued"), ("x", "nonce")):
        if name in fields:
            items.append("%s=%s" % (key, fields[name]))
    if "code" in fields:
        items.append("c=" + fields["code"])
        if fields.get("reason"):
            items.append("r=" + fields["reason"])
        items.append("o=" + fields.get("outcome", "unknown"))
        if fields.get("retry_after"):
            items.append("w=%d" % fields["retry_after"])
        if fields.get("incident"):
            items.append("i=" + fields["incident"])
    if fields.get("replayed"):
        items.append("p=1")
    return ";".join(items)


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
        "redelivered": was_handed_out(message),
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


# Replies (section 6)

def reply_meta(request):
    """The metadata with which every reply to the request begins."""
    meta = {"kind": "reply", "attempt": request["attempt"]}
    if "nonce" in request:
        meta["nonce"] = request["nonce"]
    elif "issued" in request:
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


def read_reply(message, issued=None, nonce=None, max_body=MAX_BODY):
    """What a client makes of a message with its call's correlation_id: ("result", {…}), ("error", {…})
    or ("drop", None)."""
    plain, meta = not is_warren(message.get("type")), {}
    if not plain:
        try:
            meta = read_meta(message["type"])
        except BadMetadata:
            return "error", _bad_reply()
        if meta["nonce"] != nonce if "nonce" in meta else meta.get("issued") != issued:
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
