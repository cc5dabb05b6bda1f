"""The metadata in the property `type`, in both versions, as docs/wire.md specifies it (section 3)."""
import re

MAX_INSTANT = 253402300799999
MAX_WAIT = 604800000

CODES = (  # in the order of their numbers, from 1
    "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
    "permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range",
    "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated",
)
KINDS = {"call", "reply", "resolve", "cancel"}
OUTCOMES = {"unknown", "not_executed", "executed"}


class BadMetadata(Exception):
    """A `type` that is Warren's and cannot be read. `version` tells one of another version."""

    def __init__(self, why, version=False):
        super().__init__(why)
        self.version = version


def raw(value):
    """A short string as the bytes that it has on the wire."""
    if value is None:
        return b""
    return value if isinstance(value, bytes) else value.encode()


def text(value):
    return raw(value).decode(errors="replace")


def is_warren(typ):
    return raw(typ).startswith(b"warren/")


def version_of(typ):
    """The version in which a `type` is written, None of one that is not spoken here."""
    match = re.match(rb"warren/(?:(1)(?:;|\Z)|(2)[a-z])", raw(typ))
    return match and int(match.group(1) or match.group(2))


def read_meta(typ):
    """The fields of a `type` for which is_warren holds; those of version 2 have a version."""
    version = version_of(typ)
    if version is None:
        raise BadMetadata("version", version=True)
    return (_read1 if version == 1 else _read2)(raw(typ)[len(b"warren/1"):])


def write_meta(fields):
    """The `type` that says fields, as senders write it."""
    return _write2(fields) if fields.get("version") == 2 else _write1(fields)


# Version 1

def _decimal(value, low, high):
    if not re.fullmatch(rb"[+-]?[0-9]+", value):
        raise BadMetadata("not a number")
    number = int(value)
    if not low <= number <= high:
        raise BadMetadata("out of bounds")
    return number


def _read1(rest):
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
        _read1_item(fields, name, value)
    if "kind" not in fields:
        raise BadMetadata("no kind")
    if "code" in fields:
        fields.setdefault("outcome", "unknown")
    return fields


def _read1_item(fields, name, value):
    plain = value.decode("latin-1")
    if name == b"k":
        if plain not in KINDS:
            raise BadMetadata("not a kind")
        fields["kind"] = plain
    elif name == b"n":
        fields["attempt"] = _decimal(value, 1, 1000000)
    elif name == b"d":
        fields["deadline"] = _decimal(value, 1, MAX_INSTANT)
    elif name == b"t":
        fields["issued"] = _decimal(value, 1, MAX_INSTANT)
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
        wait = max(-1, min(MAX_WAIT, _decimal(value, -10**400, 10**400)))
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


def _write1(fields):
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


# Version 2

KINDS2 = {"c": "call", "r": "reply", "m": "bundle"}
LETTERS2 = {kind: letter for letter, kind in KINDS2.items()}

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number):
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
        if not number:
            return digits


def _number36(value, high):
    if not re.fullmatch(rb"[1-9a-z][0-9a-z]*", value):
        raise BadMetadata("not a number")
    number = int(value, 36)
    if number > high:
        raise BadMetadata("out of bounds")
    return number


def _read2(rest):
    kind, items = rest[:1].decode(), rest[1:].split(b";")
    if items[0] or kind not in KINDS2:
        raise BadMetadata("not a kind")
    fields, seen, left = {"version": 2, "kind": KINDS2[kind], "attempt": 1}, set(), None
    for item in items[1:]:
        if not item:
            raise BadMetadata("no item")
        name, value = item[:1], item[1:]
        if not name.islower():
            continue
        if name in seen:
            raise BadMetadata("twice")
        seen.add(name)
        if name == b"d":
            left = _number36(value, MAX_INSTANT)
        else:
            _read2_item(fields, name, value)
    if left is not None:
        if fields.get("issued", MAX_INSTANT) + left > MAX_INSTANT:
            raise BadMetadata("a deadline without an instant, or out of bounds")
        fields["deadline"] = fields["issued"] + left
    if "code" in fields:
        fields.setdefault("outcome", "unknown")
    return fields


def _read2_item(fields, name, value):
    plain = value.decode("latin-1")
    if name == b"t":
        fields["issued"] = _number36(value, MAX_INSTANT)
    elif name == b"n":
        fields["attempt"] = _number36(value, 1000000)
    elif name == b"c":
        code = _number36(value, 36**200)
        fields["code"] = CODES[code - 1] if code <= len(CODES) else "unknown"
    elif name == b"o":
        if plain not in ("n", "e"):
            raise BadMetadata("not an outcome")
        fields["outcome"] = "not_executed" if plain == "n" else "executed"
    elif name == b"w":
        fields["retry_after"] = -1 if plain == "-1" else min(MAX_WAIT, _number36(value, 36**200))
    elif name in (b"b", b"p"):
        if plain:
            raise BadMetadata("it has no value")
        fields["bundles" if name == b"b" else "replayed"] = True
    elif name in (b"x", b"r", b"i"):
        if not value:
            raise BadMetadata("empty")
        _read1_item(fields, name, value)


def _write2(fields):
    items = ["warren/2" + LETTERS2[fields["kind"]]]
    if "issued" in fields:
        items.append("t" + base36(fields["issued"]))
        if "deadline" in fields:
            items.append("d" + base36(max(1, fields["deadline"] - fields["issued"])))
    if fields.get("attempt", 1) > 1:
        items.append("n" + base36(fields["attempt"]))
    if "nonce" in fields:
        items.append("x" + fields["nonce"])
    if fields.get("bundles"):
        items.append("b")
    if "code" in fields:
        items.append("c" + base36(CODES.index(fields["code"]) + 1))
        if fields.get("reason"):
            items.append("r" + fields["reason"])
        if fields.get("outcome", "unknown") != "unknown":
            items.append("o" + fields["outcome"][0])
        if fields.get("retry_after"):
            items.append("w" + ("-1" if fields["retry_after"] < 0 else base36(fields["retry_after"])))
        if fields.get("incident"):
            items.append("i" + fields["incident"])
    if fields.get("replayed"):
        items.append("p")
    return ";".join(items)
