"""Functions behind gRPC on the real wire: grpcio's client, HAProxy with our rules, our server; no Ray."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import polars as pl
import pyarrow as pa
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from eagleray.functions.grpc.grpc_client import GrpcClient
from eagleray.functions.grpc.protobuf_calls import Calls
from eagleray.functions.http import aiohttp_forward  # noqa: F401 - its first import takes longer than a canary may
from eagleray.functions.http.api_keys import ApiKeys
from eagleray.functions.http.function_app import function_app
from eagleray.functions.http.http_app import HttpApp, HttpLimits, HttpOptions
from eagleray.functions.rollouts.stable_front import StableFront
from eagleray.runtime.call_options import CallOptions
from eagleray.runtime.errors import EaglerayError, InputError, NotFoundError, ServerUnavailable
from eagleray.runtime.haproxy_launch import binary

from ..wire import Services, proxy

pytestmark = pytest.mark.skipif(binary() is None, reason="no HAProxy for this platform")
GATE = threading.Event()


def dot(x: list[float], scale: float = 1.0) -> float:
    return sum(x) * scale


def counts(to: int) -> Iterator[int]:
    for value in range(to):
        yield value
        if value == 3:
            raise ValueError("too far")


def doubled(frame: pl.DataFrame, times: int = 2) -> pl.DataFrame:
    return frame.with_columns(pl.all() * times)


def waits() -> str:
    GATE.wait(20)
    return "done"


def guarded(x: int) -> int:
    return x


def app_of(name: str, fn: Any, version: str = "one", **options: Any) -> HttpApp:
    return function_app(fn, CallOptions(name), HttpOptions(version=version, **options))


@pytest.fixture(scope="module")
def fronts() -> dict[str, StableFront]:
    small = HttpLimits(body_bytes=100_000, timeout_s=20)
    apps = {
        "dot": app_of("dot", dot, limits=small),
        "counts": app_of("counts", counts),
        "doubled": app_of("doubled", doubled),
        "waits": app_of("waits", waits, limits=HttpLimits(in_flight=1)),
        "late": app_of("late", waits, limits=HttpLimits(timeout_s=0.1)),
        "guarded": app_of("guarded", guarded, keys=ApiKeys.of(["the key"])),
    }
    return {name: StableFront(app) for name, app in apps.items()}


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    found = Services()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def address(
    fronts: dict[str, StableFront], services: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    ports = {name: services.start(front, f"/{name}") for name, front in fronts.items()}
    with proxy(ports, tmp_path_factory.mktemp("proxy")) as found:
        yield found


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[GrpcClient]:
    with GrpcClient(address, timeout_s=20) as found:
        yield found


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as found:
        yield found


def ask(channel: grpc.Channel, method: str, message: bytes = b"", **how: Any) -> tuple[Any, Any]:
    """The reply and the call's end, or the error."""
    try:
        reply, call = channel.unary_unary(method)(message, **how), None
        return reply, call
    except grpc.RpcError as error:
        return None, error


def test_it_answers_as_a_plain_call(client: GrpcClient) -> None:
    assert client.call("dot", x=[1, 2.5], scale=2) == dot([1, 2.5], 2)
    assert client.call("dot", x=[1]) == 1.0
    with pytest.raises(InputError, match=r"dot: x\.0 is 'a': input should be a valid number"):
        client.call("dot", x=["a"])
    with pytest.raises(InputError, match="dot takes no 'y'"):
        client.call("dot", x=[1], y=1)
    with pytest.raises(NotFoundError, match="no service 'dott'; known: counts, dot, doubled, guarded, late, waits"):
        client.call("dott", x=[1])
    with pytest.raises(InputError, match="more than 100000 bytes"):
        client.call("dot", x=[0.5] * 100_000)
    assert client.call("dot", x=[0.5] * 10_000) == 5000  # larger than a buffer of the proxy


def test_plain_protobuf_does_as_well(channel: grpc.Channel) -> None:
    calls = Calls()
    request = calls.request(function="dot")
    request.arguments.update({"x": [1, 2], "scale": 3})
    reply, call = channel.unary_unary("/eagleray.v1.Functions/Call").with_call(
        request.SerializeToString(), metadata=[("x-request-id", "mine")]
    )
    assert calls.reply.FromString(reply).value.number_value == 9
    told = dict(call.initial_metadata())
    assert (told["x-request-id"], told["x-eagleray-version"]) == ("mine", "one")
    for message, said in (
        (calls.request(function="dot", json=b"{").SerializeToString(), "the body is no JSON"),
        (calls.request(function="dot", json=b"{}", arguments={}).SerializeToString(), "both given"),
        (calls.request(function="dot", route="../x y").SerializeToString(), "no part of a path"),
        (b"\x0a\x03dot\xff", "no eagleray.v1.CallRequest"),
    ):
        _, error = ask(channel, "/eagleray.v1.Functions/Call", message)
        assert (error.code(), said in error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, True), error.details()
    _, error = ask(channel, "/eagleray.v1.Functions/Cal", request.SerializeToString())
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "did you mean '/eagleray.v1.Functions/Call'" in error.details()
    _, error = ask(
        channel, "/eagleray.v1.Functions/Call", request.SerializeToString() * 40, compression=grpc.Compression.Gzip
    )
    assert error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND)


def test_what_is_yielded_comes_as_a_stream(client: GrpcClient) -> None:
    assert list(client.stream("counts", to=3)) == [0, 1, 2]
    assert list(client.stream("dot", x=[2])) == [2.0]
    found = client.stream("counts", to=9)
    assert [next(found) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(EaglerayError, match="ValueError: too far"):
        next(found)
    with pytest.raises(InputError, match="call Stream"):
        client.call("counts", to=3)


def test_tables_travel_as_arrow(channel: grpc.Channel, client: GrpcClient) -> None:
    calls = Calls()
    sink = pa.BufferOutputStream()
    table = pa.table({"a": [1, 2]})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    request = calls.request(function="doubled", arrow=sink.getvalue().to_pybytes())
    request.arguments.update({"times": 3})
    reply, _ = ask(channel, "/eagleray.v1.Functions/Call", request.SerializeToString())
    assert calls.read(reply).to_pydict() == {"a": [3, 6]}
    request = calls.request(function="doubled", json=b'{"frame": [{"a": 1}]}', arrow_reply=True)
    reply, _ = ask(channel, "/eagleray.v1.Functions/Call", request.SerializeToString())
    assert calls.read(reply).to_pydict() == {"a": [2]}
    assert client.call("doubled", frame=pl.DataFrame({"a": [1]})) == [{"a": 2}]


def test_keys_are_asked_for(
    client: GrpcClient, address: str, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no valid API key"):
        client.call("guarded", x=1)
    message = Calls().request(function="guarded", json=b'{"x": 1}').SerializeToString()
    _, error = ask(channel, "/eagleray.v1.Functions/Call", message, metadata=[("x-api-key", "wrong")])
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    reply, _ = ask(channel, "/eagleray.v1.Functions/Call", message, metadata=[("x-api-key", "the key")])
    assert Calls().read(reply) == 1
    with GrpcClient(address, keys=("the key",)) as known:
        assert known.call("guarded", x=1) == 1
    monkeypatch.setenv("EAGLERAY_API_KEYS", "the key")
    assert client.call("guarded", x=1) == 1


def test_it_neither_waits_for_ever_nor_takes_more_than_it_can(client: GrpcClient, address: str) -> None:
    GATE.clear()
    with GrpcClient(address, timeout_s=0.2) as hasty, pytest.raises(EaglerayError, match=r"[Dd]eadline|no answer"):
        hasty.call("waits")
    message = Calls().request(function="late").SerializeToString()
    with grpc.insecure_channel(address) as channel:
        _, error = ask(channel, "/eagleray.v1.Functions/Call", message)
    assert (error.code(), error.details()[:22]) == (grpc.StatusCode.DEADLINE_EXCEEDED, "no answer within 0.1 s")
    answers: list[Any] = []
    one = threading.Thread(target=lambda: answers.append(client.call("waits")))
    GATE.clear()
    one.start()
    refused = ""
    while not refused:  # until the thread's call is the one in flight
        with GrpcClient(address, timeout_s=0.2) as other:
            try:
                other.call("waits")
            except ServerUnavailable as error:
                refused = str(error)
            except EaglerayError:
                pass
    assert "1 requests are in flight here; ask again" in refused
    GATE.set()
    one.join()
    assert answers == ["done"]


def test_tools_find_their_way(channel: grpc.Channel, address: str) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {"eagleray.v1.Functions", "grpc.health.v1.Health"} <= set(database.get_services())
    pool = DescriptorPool(database)
    assert [method.name for method in pool.FindServiceByName("eagleray.v1.Functions").methods] == ["Call", "Stream"]
    assert "arguments" in pool.FindMessageTypeByName("eagleray.v1.CallRequest").fields_by_name
    with pytest.raises(KeyError):
        pool.FindMessageTypeByName("eagleray.v1.Nothing")
    for service in (b"", b"\x0a\x03dot", b"\x0a\x15eagleray.v1.Functions"):
        assert ask(channel, "/grpc.health.v1.Health/Check", service)[0] == b"\x08\x01"
    assert ask(channel, "/grpc.health.v1.Health/Check", b"\x0a\x03dxt")[1].code() is grpc.StatusCode.NOT_FOUND
    assert ask(channel, "/grpc.health.v1.Health/Watch")[1].code() is grpc.StatusCode.UNIMPLEMENTED
    assert httpx.post(f"http://{address}/dot", json={"x": [1]}).json() == 1.0  # HTTP on the same port
    metrics = httpx.get(f"http://{address}/dot/metrics").text
    assert 'status="422"' in metrics


def test_a_canary_has_its_share(client: GrpcClient, fronts: dict[str, StableFront], services: Services) -> None:
    def other(x: list[float]) -> float:
        return -sum(x)

    port = services.start(app_of("dot--canary", other, "two"), "/dot--canary")
    fronts["dot"].configure({"canary_url": f"http://127.0.0.1:{port}/dot--canary", "canary_percent": 50.0})
    try:
        assert sorted(client.call("dot", x=[1]) for _ in range(4)) == [-1, -1, 1, 1]
        said = []
        for _ in range(2):
            with pytest.raises(InputError) as caught:
                client.call("dot", x=["a"])
            said.append(str(caught.value).partition(":")[0])
        assert sorted(said) == ["dot", "other"]  # an error of the canary is an answer, too
    finally:
        fronts["dot"].configure(None)
        services.run(fronts["dot"].aclose())
