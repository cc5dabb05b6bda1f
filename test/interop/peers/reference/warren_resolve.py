"""Questions about calls and their answers, as docs/wire/memory.md specifies them. No I/O."""
import base64
import binascii
import json
import re

import warren_wire as wire

STATES = {"completed", "failed", "in_progress", "canceled"}


def control_queue(method):
    return "warren.control." + method


# Questions

def read_resolve(message, method):
    """The question in a message: the request, and what it asks. Refused or Dropped as of read_request."""
    if not message.get("reply_to") or not wire.is_warren(message.get("type")):
        raise wire.Dropped("nobody to answer")
    request = wire.read_request(message, (method,), kind="resolve", max_body=wire.MAX_RESOLVE)
    try:
        return request, _read_question(request)
    except wire.Refused as refused:
        refused.request = request
        raise


def _read_question(request):
    if not request["call_id"]:
        raise wire.Refused("invalid_argument", "bad_request", "no correlation_id")
    try:
        asked = json.loads(request["body"])
    except ValueError:
        raise wire.Refused("invalid_argument", "bad_request", "not JSON") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("call_id"), str) or not wire.is_call_id(asked["call_id"]):
        raise wire.Refused("invalid_argument", "bad_request", "no call_id")
    question = {"call_id": asked["call_id"]}
    if asked.get("issued") is not None:
        if type(asked["issued"]) is not int or not 1 <= asked["issued"] <= wire.MAX_INSTANT:
            raise wire.Refused("invalid_argument", "bad_request", "issued is not an instant")
        question["issued"] = asked["issued"]
    if asked.get("proof"):
        if not isinstance(asked["proof"], str) or not re.fullmatch("[0-9a-fA-F]{32}", asked["proof"]):
            raise wire.Refused("invalid_argument", "bad_request", "not a proof")
        question["proof"] = asked["proof"].lower()
    return question


def write_resolve(meta, correlation_id, question):
    """The properties and body of a question. meta has the attempt, deadline, issued and nonce of its own."""
    return {
        "type": wire.write_meta(dict(meta, kind="resolve")), "correlation_id": correlation_id,
        "content_type": "application/json", "body": wire.to_json(question),
    }


# Answers

def write_resolution(state, outcome, reply=None, error=None):
    """The body of an answer. reply has content_type, content_encoding, headers, body; error what
    write_error takes."""
    told = {"state": state, "outcome": outcome}
    if reply is not None:
        told["reply"] = {}
        for member, name in (("content_type", "content_type"), ("content_encoding", "content_encoding"), ("header", "headers")):
            if reply.get(name):
                told["reply"][member] = reply[name]
        if reply.get("body"):
            told["reply"]["body"] = base64.b64encode(reply["body"]).decode()
    if error is not None:
        told["error"] = {}
        for member, name in (("message", "text"), ("details", "details"), ("code", "code"), ("reason", "reason"),
                             ("incident", "incident"), ("retry_after_ms", "retry_after")):
            if error.get(name):
                told["error"][member] = error[name]
    told["retained"] = reply is not None or error is not None
    return wire.to_json(told)


def read_resolution(body):
    """What an answer says; ValueError if it is none."""
    told = json.loads(body)
    if not isinstance(told, dict) or told.get("state") not in STATES:
        raise ValueError("not a state")
    state, outcome = told["state"], told.get("outcome", "unknown")
    allowed = {"completed": {"executed"}, "in_progress": {"unknown"}, "canceled": {"unknown", "not_executed"}}
    if outcome not in allowed.get(state, wire.OUTCOMES):
        raise ValueError("the outcome contradicts the state")
    reply, error = told.get("reply"), told.get("error")
    if reply is not None and state != "completed" or error is not None and state != "failed":
        raise ValueError("what it brings contradicts the state")
    if told.get("retained", False) != (reply is not None or error is not None):
        raise ValueError("it does not bring what it says")
    answer = {"state": state, "outcome": outcome, "retained": told.get("retained", False)}
    if reply is not None:
        answer["reply"] = _read_stored_reply(reply)
    if error is not None:
        answer["error"] = _read_stored_error(error)
    return answer


def _read_stored_reply(reply):
    headers = reply.get("header", {})
    if any(wire.is_brokers(name) for name in headers):
        raise ValueError("a header that no server sends")
    try:
        body = base64.b64decode(reply.get("body", ""), validate=True)
    except binascii.Error as why:
        raise ValueError(why) from None
    return {"content_type": reply.get("content_type", ""), "content_encoding": reply.get("content_encoding", ""),
            "headers": headers, "body": body}


def _read_stored_error(error):
    code = error.get("code", "")
    return {
        "code": code if code in wire.CODES else "unknown", "reason": error.get("reason", ""),
        "text": error.get("message", ""), "details": error.get("details", {}), "incident": error.get("incident", ""),
        "retry_after": max(-1, min(wire.MAX_WAIT, error.get("retry_after_ms", 0))),
    }
