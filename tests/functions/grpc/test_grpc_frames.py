"""The wire of gRPC, its codes, and messages read from .proto files: pure parts."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from google.rpc import error_details_pb2, status_pb2

from eagleray.functions.grpc.grpc_frames import Unframer, escaped, framed, timeout_s, unframed
from eagleray.functions.grpc.grpc_status import RESOURCE_EXHAUSTED, UNAVAILABLE, Status
from eagleray.functions.grpc.protobuf_schema import Schema, schema
from eagleray.functions.grpc.protobuf_values import fill_value, plain_value
from eagleray.functions.http.problem import Problem, Refused
from eagleray.runtime.errors import DefinitionError


def test_a_message_travels_in_a_frame() -> None:
    assert framed(b"ab") == b"\0\0\0\0\2ab"
    assert unframed(framed(b"ab")) == b"ab"
    assert unframed(framed(b"")) == b""
    for broken in (b"", b"\0\0\0", framed(b"ab")[:-1], framed(b"a") + framed(b"b"), b"\1" + framed(b"ab")[1:]):
        with pytest.raises(Refused):
            unframed(broken)


def test_frames_may_come_in_any_pieces() -> None:
    whole = framed(b"one") + framed(b"") + framed(b"three")
    for size in range(1, len(whole) + 1):
        unframer = Unframer()
        found = [message for at in range(0, len(whole), size) for message in unframer.take(whole[at : at + size])]
        assert found == [b"one", b"", b"three"]


def test_headers_of_the_protocol() -> None:
    assert [timeout_s(told) for told in (b"250m", b"2S", b"1H", b"5u")] == pytest.approx([0.25, 2.0, 3600.0, 5e-6])
    assert [timeout_s(told) for told in (b"", b"m", b"1", b"-1S", b"999999999S", b"x")] == [None] * 6
    assert escaped("100% für\nalle") == b"100%25 f%C3%BCr%0Aalle"


@pytest.mark.parametrize(
    ("http_status", "code"),
    [(200, 0), (400, 3), (401, 16), (404, 5), (413, 8), (422, 3), (503, 14), (504, 4), (500, 13)],
)
def test_an_http_answer_has_a_code(http_status: int, code: int) -> None:
    assert Status.of(http_status, b"").code == code


def test_what_is_full_says_when_to_ask_again() -> None:
    full = Problem(503, "too many", retry_s=2)
    status = Status.of(503, full.body("id"), retry_s=2)
    assert (status.code, status.message) == (RESOURCE_EXHAUSTED, "too many")
    assert Status.of(503, Problem(503, "no Redis").body("id")).code == UNAVAILABLE
    trailers = dict(status.headers())
    assert (trailers[b"retry-after"], trailers[b"grpc-retry-pushback-ms"]) == (b"2", b"2000")
    details = status_pb2.Status.FromString(base64.b64decode(trailers[b"grpc-status-details-bin"] + b"=="))
    info = error_details_pb2.RetryInfo()
    assert details.details[0].Unpack(info)
    assert info.retry_delay.seconds == 2
    assert Status.of(422, Problem(422, "no x", "enrich").body("id")).message == "no x (step enrich)"


def test_values_are_what_protobuf_itself_makes_of_json() -> None:
    plain: dict[str, Any] = {"a": [1, 2.5, None, True, "text", {}, []], "b": {"c": -(2**53)}}
    made, wanted = struct_pb2.Value(), struct_pb2.Value()
    fill_value(made, plain)
    json_format.ParseDict(plain, wanted)
    assert made == wanted
    assert plain_value(made) == plain
    assert type(plain_value(struct_pb2.Value(number_value=3))) is int
    assert plain_value(struct_pb2.Value(number_value=1e300)) == 1e300
    assert plain_value(struct_pb2.Value()) is None


def test_a_proto_file_is_read_as_it_is_written() -> None:
    text = """
        syntax = "proto3"; // a comment
        package a.b;
        import "google/protobuf/struct.proto";
        option java_package = "x";
        enum Colour { RED = 0; BLUE = 1; }
        message Outer {
            message Inner { repeated int64 shape = 1; }
            reserved 9;
            map<string, Inner> parts = 1;
            oneof chosen { bool yes = 2; Colour colour = 3; }
            /* two
               lines */
            repeated Inner inners = 4;
            google.protobuf.Value any = 5;
        }
        service Asks { rpc One(Outer) returns (Outer); rpc All(stream Outer) returns (stream Outer.Inner) {} }
    """
    made = Schema()
    made.add(text, name="a.proto")
    outer = made.message("a.b.Outer")(yes=True)
    outer.parts["p"].shape.extend([1, 2])
    outer.any.string_value = "v"
    again = made.message("a.b.Outer").FromString(outer.SerializeToString())
    assert (list(again.parts["p"].shape), again.WhichOneof("chosen"), again.any.string_value) == ([1, 2], "yes", "v")
    again.colour = 1
    assert again.WhichOneof("chosen") == "colour"
    one, every = made.pool.FindServiceByName("a.b.Asks").methods
    assert (one.client_streaming, one.server_streaming, one.output_type.full_name) == (False, False, "a.b.Outer")
    assert (every.client_streaming, every.server_streaming) == (True, True)
    assert every.output_type.full_name == "a.b.Outer.Inner"
    for wrong in ("message A { Nowhere x = 1; }", "mesage A {}", "message A { int32 x = 1 }"):
        with pytest.raises(DefinitionError):
            Schema().add(wrong, name="wrong.proto")


def test_our_own_files_hold_what_clients_are_told() -> None:
    fields = schema().message("eagleray.v1.CallRequest").DESCRIPTOR.fields_by_name
    assert {name: field.number for name, field in fields.items()} == {
        "function": 1,
        "arguments": 2,
        "json": 3,
        "arrow": 4,
        "arrow_reply": 5,
        "route": 6,
    }
    assert schema().services == [
        "eagleray.v1.Functions",
        "grpc.health.v1.Health",
        "inference.GRPCInferenceService",
    ]
