"""eagleray.v1.Functions: a call's message as an HTTP request to the function, and its answer as a reply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
from google.protobuf.message import DecodeError

from ..http.content_types import ARROW, JSON
from ..http.forward import Request
from ..http.problem import Problem, Refused
from .grpc_rpc import Asked, Rpc
from .protobuf_schema import schema
from .protobuf_values import fill_value, plain_struct, plain_value

SERVICE = "eagleray.v1.Functions"
_ROUTE = re.compile(r"[\w./-]*", re.ASCII)


def functions_rpcs() -> Mapping[str, Rpc]:
    """The methods by path."""
    calls = Calls()
    return {f"/{SERVICE}/Call": Rpc(calls.asked), f"/{SERVICE}/Stream": Rpc(calls.asked, streams=True)}


class Calls:
    """Both sides of a call: what it asks of the service, and what a client reads from the replies."""

    def __init__(self) -> None:
        self.request: Any = schema().message("eagleray.v1.CallRequest")
        self.reply: Any = schema().message("eagleray.v1.CallReply")

    def asked(self, message: bytes) -> Asked:
        """The HTTP request that a message stands for; refused where it is none."""
        try:
            call = self.request.FromString(message)
        except DecodeError:
            raise Refused(Problem(400, "the message is no eagleray.v1.CallRequest; compile functions.proto")) from None
        if not _ROUTE.fullmatch(call.route):
            raise Refused(Problem(400, f"route {call.route!r} is no part of a path; say 'explain', say"))
        if call.json and call.HasField("arguments"):
            raise Refused(Problem(400, "arguments and json are both given; send one of them"))
        path = f"/{call.route.strip('/')}" if call.route else ""
        accept = ((b"accept", ARROW),) if call.arrow or call.arrow_reply else ()
        reply = self._json_reply if call.json else self._value_reply
        if call.arrow:
            query = urlencode(self._texts(call))
            path = f"{path}?{query}" if query else path
            return Asked(Request("POST", path, ((b"content-type", ARROW), *accept), call.arrow), reply)
        body = call.json or orjson.dumps(plain_struct(call.arguments))
        return Asked(Request("POST", path, ((b"content-type", JSON), *accept), body), reply)

    def read(self, message: bytes) -> Any:
        """A reply as JSON's types, or as a pyarrow.Table."""
        reply = self.reply.FromString(message)
        kind = reply.WhichOneof("result")
        if kind == "arrow":
            import pyarrow as pa

            with pa.ipc.open_stream(reply.arrow) as stream:
                return stream.read_all()
        return orjson.loads(reply.json) if kind == "json" else plain_value(reply.value)

    def _texts(self, call: Any) -> dict[str, str]:
        """What stands beside a table, as a query has it."""
        try:
            given = orjson.loads(call.json) if call.json else plain_struct(call.arguments)
            pairs = given.items()
        except (orjson.JSONDecodeError, AttributeError):
            raise Refused(Problem(400, "json beside arrow is no object; send the other arguments by name")) from None
        return {name: one if isinstance(one, str) else orjson.dumps(one).decode() for name, one in pairs}

    def _value_reply(self, content_type: bytes, body: bytes) -> bytes:
        if content_type != JSON:
            return self._other_reply(content_type, body)
        reply = self.reply()
        fill_value(reply.value, orjson.loads(body))
        return _bytes(reply)

    def _json_reply(self, content_type: bytes, body: bytes) -> bytes:
        return _bytes(self.reply(json=body)) if content_type == JSON else self._other_reply(content_type, body)

    def _other_reply(self, content_type: bytes, body: bytes) -> bytes:
        return _bytes(self.reply(arrow=body) if content_type == ARROW else self.reply(json=orjson.dumps(body.decode())))


def _bytes(message: Any) -> bytes:
    whole: bytes = message.SerializeToString()
    return whole
