"""The Open Inference Protocol V2 as NVIDIA's client speaks it: HAProxy with our rules in front of our server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from eagleray.functions.grpc.protobuf_schema import schema
from eagleray.functions.http.api_keys import ApiKeys
from eagleray.functions.http.content_types import PROTOBUF
from eagleray.functions.http.function_app import function_app
from eagleray.functions.http.http_app import HttpOptions
from eagleray.functions.rollouts.stable_front import StableFront
from eagleray.graphs.flows.compile import Compiled
from eagleray.graphs.graph import Graph
from eagleray.graphs.serving.asgi import graph_app
from eagleray.runtime.call_options import CallOptions
from eagleray.runtime.haproxy_launch import binary

from ...functions.wire import Services, proxy
from ..parts import LinearModel, fraud_graph

pytestmark = pytest.mark.skipif(binary() is None, reason="no HAProxy for this platform")
MODEL = LinearModel(features=("a", "b"), weights=(1.0, -2.0), base=0.5)
DTYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
Clients = dict[str, Any]


def everything(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "id"}


def front(graph: Graph, version: str = "one", **options: Any) -> StableFront:
    compiled = Compiled.of(graph)
    return StableFront(graph_app(compiled, HttpOptions(version, **options)))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    services = Services()
    plain = Graph("plain")
    explained = Graph("explained")
    fronts = {
        # A function, whose name comes first, so that it is asked what may be asked of anyone.
        "a_function": StableFront(function_app(len, CallOptions("a_function"), HttpOptions(), hints={"obj": list})),
        "echo": front(Graph("echo").respond(everything)),
        "plain": front(plain.to(plain.predict(MODEL)).respond()),
        "explained": front(explained.to(explained.predict(MODEL)).to(explained.explain()).respond("a")),
        "fraud": front(fraud_graph()),
        "guarded": front(Graph("guarded").respond(everything), keys=ApiKeys.of(["the key"])),
    }
    try:
        ports = {name: services.start(one, f"/{name}") for name, one in fronts.items()}
        with proxy(ports, tmp_path_factory.mktemp("proxy")) as found:
            yield found
    finally:
        services.stop()


@pytest.fixture(scope="module")
def clients(address: str) -> Iterator[Clients]:
    """Clients by protocol, with the module that their inputs and outputs are from."""
    http, rpc = over_http.InferenceServerClient(address), over_grpc.InferenceServerClient(address)
    yield {"http": (http, over_http), "grpc": (rpc, over_grpc)}
    http.close()
    rpc.close()


def tensor(module: Any, name: str, values: Any, datatype: str = "", **how: Any) -> Any:
    made = module.InferInput(name, list(values.shape), datatype or np_to_triton_dtype(values.dtype))
    return made.set_data_from_numpy(values, **how)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_server_and_models_are_told(clients: Clients, kind: str) -> None:
    client, _ = clients[kind]
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("fraud")
    assert client.is_model_ready("fraud", "one")
    how = {"as_json": True} if kind == "grpc" else {}
    if kind == "grpc":
        assert client.get_server_metadata(**how)["extensions"] == ["binary_tensor_data"]
    told = client.get_model_metadata("explained", **how)
    assert told["versions"] == ["one"]
    listed = {one["name"]: (one["datatype"], [int(size) for size in one["shape"]]) for one in told["inputs"]}
    assert listed == {"a": ("FP64", [-1]), "b": ("FP64", [-1])}
    outputs = {one["name"]: (one["datatype"], [int(size) for size in one["shape"]]) for one in told["outputs"]}
    assert outputs == {
        "id": ("BYTES", [-1]),
        "score": ("FP64", [-1]),
        "contributions": ("FP64", [-1, 2]),
        "base_value": ("FP64", [-1]),
        "a": ("FP64", [-1]),
    }


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize("code", DTYPES)
def test_every_datatype_there_and_back(clients: Clients, kind: str, code: str) -> None:
    client, module = clients[kind]
    dtype = np.dtype(code)
    rng = np.random.default_rng(7)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        values = rng.integers(info.min, info.max, (5, 3), dtype, endpoint=True)
    else:
        values = rng.normal(0, 100, (5, 3)).astype(dtype) if dtype.kind == "f" else rng.integers(0, 2, (5, 3)) == 1
    flat = values[:, 0]
    found = client.infer("echo", [tensor(module, "rows", values), tensor(module, "one", flat)], model_version="one")
    wide = {"f": np.float64, "b": np.bool_}.get(dtype.kind, np.uint64 if code == "u8" else np.int64)
    for name, sent in (("rows", values), ("one", flat)):
        got = found.as_numpy(name)
        assert got.dtype == wide or dtype.kind == "u"
        assert got.shape == sent.shape
        assert np.array_equal(got.astype(dtype), sent)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_texts_bytes_and_bf16(clients: Clients, kind: str) -> None:
    client, module = clients[kind]
    texts = np.array([["ä", "", "card 7"]], dtype=object).T
    half = np.array([1.5, -0.1], np.float32)
    found = client.infer("echo", [tensor(module, "t", texts)])
    assert [one.decode() for one in found.as_numpy("t")] == texts[:, 0].tolist()
    found = client.infer("echo", [tensor(module, "h", half.astype(ml_dtypes.bfloat16), "BF16")])
    assert found.as_numpy("h").tolist() == half.astype(ml_dtypes.bfloat16).astype(float).tolist()
    with pytest.raises(InferenceServerException, match="'t' is no UTF-8 text"):
        client.infer("echo", [tensor(module, "t", np.array([b"\xff"], dtype=object))])


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_graph_answers_rows_of_fields_or_of_features(clients: Clients, kind: str) -> None:
    client, module = clients[kind]
    rows = np.random.default_rng(0).normal(size=(50, 2))
    fields = [tensor(module, name, rows[:, [place]]) for place, name in enumerate(MODEL.features)]
    for inputs in (fields, [tensor(module, "x", rows)]):
        found = client.infer("explained", inputs, request_id="mine")
        assert np.array_equal(found.as_numpy("score"), MODEL.predict(rows))
        assert np.array_equal(found.as_numpy("contributions"), MODEL.explain(rows)[:, :-1])
        assert found.as_numpy("id").tolist() == [b"mine-%d" % place for place in range(50)]
    wanted = [module.InferRequestedOutput("score"), module.InferRequestedOutput("a")]
    only = client.infer("explained", fields, outputs=wanted)
    assert only.as_numpy("id") is None
    assert np.array_equal(only.as_numpy("a"), rows[:, 0])
    cards = np.array(["7", "8", "none"], dtype=object)
    amounts = np.array([10, 20, 30.0])
    asked = [tensor(module, "card_id", cards), tensor(module, "amount", amounts)]
    expected = fraud_graph().test(
        [{"card_id": card, "amount": amount} for card, amount in zip(cards, amounts.tolist(), strict=True)]
    )
    found = client.infer("fraud", asked)
    assert found.as_numpy("score").tolist() == [one["score"] for one in expected]
    assert found.as_numpy("card_id").tolist() == [b"7", b"8", b"none"]


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_what_is_wrong_is_said(clients: Clients, kind: str) -> None:
    client, module = clients[kind]
    x = np.array([[1.0, 2.0]])
    for model, inputs, how, said in (
        ("nobody", [tensor(module, "x", x)], {}, "nobody.*known: a_function, echo"),
        (
            "plain",
            [tensor(module, "x", x)],
            {"model_version": "two"},
            "no version 'two' of 'plain' here; this is 'one'",
        ),
        ("plain", [tensor(module, "x", x[:, :1])], {}, "'x' has 1 columns; the model takes 2: a, b"),
        ("plain", [tensor(module, "a", x[0])], {}, r"the request lacks 'b' \(a number\) \(step predict\)"),
        ("plain", [tensor(module, "a", x[0]), tensor(module, "b", x[0, :1])], {}, r"number of rows.*a \[2\], b \[1\]"),
        ("plain", [tensor(module, "x", x)], {"outputs": [module.InferRequestedOutput("scor")]}, "no output 'scor'"),
        ("a_function", [tensor(module, "x", x)], {}, "no .*/infer' here"),
        ("guarded", [tensor(module, "x", x)], {}, "no valid API key"),
        ("plain", [tensor(module, "x", np.zeros((10_001, 2)))], {}, "10001 rows in one request"),
        ("plain", [tensor(module, "x", np.zeros((300_000, 2)))], {}, "more than 4194304 bytes"),
    ):
        with pytest.raises(InferenceServerException, match=said):
            client.infer(model, inputs, **how)
    made = module.InferInput("x", [1, 3], "FP64")
    made.set_data_from_numpy(np.array([[1.0, 2.0, 3.0]]))
    made.set_shape([1, 2])
    with pytest.raises(InferenceServerException, match="'x' has 24 bytes"):
        client.infer("plain", [made])
    keyed = {"headers": {"authorization": "Bearer the key"}}
    assert client.infer("guarded", [tensor(module, "x", x[0])], **keyed).as_numpy("x").tolist() == [1.0, 2.0]
    assert client.is_model_ready("guarded")


def test_compressed_bodies_are_refused_and_tools_find_their_way(clients: Clients, address: str) -> None:
    client, module = clients["http"]
    with pytest.raises(InferenceServerException, match="compressed bodies are not read here"):
        client.infer("plain", [tensor(module, "x", np.ones((1, 2)))], request_compression_algorithm="gzip")
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "inference.GRPCInferenceService" in database.get_services()
        methods = DescriptorPool(database).FindServiceByName("inference.GRPCInferenceService").methods
        assert {method.name for method in methods} >= {"ModelInfer", "ModelMetadata", "ServerReady"}
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        for service in ("", "inference.GRPCInferenceService", "plain"):
            asked = schema().message("grpc.health.v1.HealthCheckRequest")(service=service)
            assert health(asked.SerializeToString()) == b"\x08\x01"


def test_json_and_binary_of_http_say_the_same(clients: Clients) -> None:
    client, module = clients["http"]
    rows = np.array([[0.1, 2.0], [3.0, -0.5]])
    for sent in (True, False):
        for asked in (True, False):
            outputs = [module.InferRequestedOutput("score", binary_data=asked)]
            found = client.infer("plain", [tensor(module, "x", rows, binary_data=sent)], outputs=outputs)
            assert np.array_equal(found.as_numpy("score"), MODEL.predict(rows))
            assert ("data" in found.get_output("score")) is not asked


def test_typed_contents_of_grpc(address: str, clients: Clients) -> None:
    request = schema().message("inference.ModelInferRequest")
    reply = schema().message("inference.ModelInferResponse")
    fields = {
        "BOOL": ("bool_contents", [True, False]),
        "INT8": ("int_contents", [-128, 127]),
        "INT64": ("int64_contents", [-(2**63), 5]),
        "UINT16": ("uint_contents", [65535, 0]),
        "UINT64": ("uint64_contents", [2**64 - 1, 0]),
        "FP32": ("fp32_contents", [0.5, float("nan")]),
        "FP64": ("fp64_contents", [0.1, -1.0]),
        "BYTES": ("bytes_contents", [b"a", "ä".encode()]),
    }
    asked = request(model_name="echo", id="i")
    for datatype, (field, values) in fields.items():
        one = asked.inputs.add(name=datatype, datatype=datatype, shape=[2])
        getattr(one.contents, field).extend(values)
    with grpc.insecure_channel(address) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        found = reply.FromString(infer(asked.SerializeToString()))
        assert (found.id, list(found.raw_output_contents)) == ("i", [])
        got = {one.name: one for one in found.outputs}
        for datatype, (_, values) in fields.items():
            ((_, contents),) = got[datatype].contents.ListFields()
            assert str(list(contents)) == str(values)
        for change, said in (
            ({"datatype": "INT8", "int_contents": [128]}, "beyond INT8"),
            ({"datatype": "FP32", "fp64_contents": [1.0]}, "belongs in fp32_contents, not in fp64_contents"),
            ({"datatype": "FP16", "fp32_contents": [1.0]}, "FP16 has no typed contents"),
            ({"datatype": "FP32", "fp32_contents": [1.0, 2.0]}, "has 2 values"),
            ({"datatype": "FP31"}, "no datatype 'FP31'"),
        ):
            wrong = request(model_name="echo")
            one = wrong.inputs.add(name="x", datatype=change.pop("datatype"), shape=[1])
            for field, values in change.items():
                getattr(one.contents, field).extend(values)
            with pytest.raises(grpc.RpcError) as caught:
                infer(wrong.SerializeToString())
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert said in caught.value.details()
        wrong.raw_input_contents.extend([b"", b""])
        for message, said in (
            (wrong.SerializeToString(), "2 raw contents for 1 inputs"),
            (request(model_name="echo").SerializeToString(), "no inputs"),
            (asked.SerializeToString()[:-1], "cannot be read"),
            (request(model_name="echo", model_version="a/b").SerializeToString(), "no name or version"),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                infer(message)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert said in caught.value.details()
        with pytest.raises(grpc.RpcError) as caught:
            list(channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")(iter([b""])))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "did you mean '/inference.GRPCInferenceService/ModelInfer'" in caught.value.details()


def test_paths_at_the_root_and_below_the_name(address: str) -> None:
    root = f"http://{address}"
    server = httpx.get(f"{root}/v2").json()
    assert server["extensions"] == ["binary_tensor_data"]
    assert server == httpx.get(f"{root}/plain/v2").json()
    for path, told in (("/v2/health/live", {"live": True}), ("/v2/health/ready", {"ready": True})):
        assert httpx.get(root + path).json() == httpx.get(f"{root}/plain{path}").json() == told
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}
    answers = []
    for path in ("/v2/models/plain/infer", "/v2/models/plain/versions/one/infer"):
        answers += [httpx.post(base + path, json=body) for base in (root, f"{root}/plain")]
    assert {answer.status_code for answer in answers} == {200}
    assert len({json.dumps(answer.json()["outputs"][1]) for answer in answers}) == 1
    for method, path, status, said in (
        ("GET", "/v2/models/nobody", 404, "no model nobody here; known: a_function, echo"),
        ("GET", "/v2/nothing", 404, "no model"),
        ("GET", "/plain/v2/models/other", 404, "no model 'other' here; this is 'plain'"),
        ("GET", "/v2/models/plain/versions/7", 404, "no version '7'"),
        ("GET", "/v2/models/plain/nothing", 404, "no 'nothing' of a model; there are infer and ready"),
        ("GET", "/plain/v2/nothing", 404, "no '/v2/nothing' here"),
        ("GET", "/v2/models/plain/infer", 405, "use POST"),
        ("POST", "/v2/models/plain/ready", 405, "use GET"),
    ):
        found = httpx.request(method, root + path)
        assert found.status_code == status
        assert list(found.json()) == ["error"]
        assert said in found.json()["error"]
    assert httpx.get(f"{root}/guarded/v2/models/guarded").json()["error"].startswith("no valid API key")
    found = httpx.post(f"{root}/v2/models/plain/infer", content=b"", headers={"content-type": PROTOBUF.decode()})
    assert found.json() == {"error": "the request has no inputs"}
