"""Tensors as events and answers as tensors, in JSON and behind it, asked in process; what is wrong with a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eagleray.functions.http.http_app import HttpApp, HttpOptions
from eagleray.graphs.flows.compile import Compiled
from eagleray.graphs.graph import Graph
from eagleray.graphs.serving.asgi import graph_app
from eagleray.graphs.serving.v2_events import outputs

from ..parts import LinearModel, TableVector, fraud_graph

HEADER = "inference-header-content-length"
REQUEST = {"inputs": [{"name": "x", "shape": [2], "datatype": "INT64", "data": [1, 2]}]}


def everything(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "id"}


def app_of(graph: Graph) -> HttpApp:
    return graph_app(Compiled.of(graph), HttpOptions("one"))


ECHO = app_of(Graph("echo").respond(everything))


def ask(app: HttpApp, body: bytes | Mapping[str, Any], *, path: str = "", **headers: str) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            name = app._face.name
            where = path or f"/v2/models/{name}/infer"
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            return await client.post(f"/{name}{where}", content=content, headers=named)

    return asyncio.run(run())


def told(app: HttpApp, body: bytes | Mapping[str, Any], **headers: str) -> dict[str, Any]:
    found = ask(app, body, **headers)
    assert found.status_code == 200, found.text
    return {one["name"]: one for one in found.json()["outputs"]}


def one_input(name: str, datatype: str, shape: list[int], data: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}


def test_rows_become_events_and_their_answers_rows() -> None:
    inputs = [
        one_input("id", "BYTES", [2], ["first", "second"]),
        one_input("scalar", "FP32", [2, 1], [0.5, None]),
        one_input("vector", "INT32", [2, 2], [1, 2, 3, 4]),
        one_input("cube", "INT8", [2, 1, 2], [[[1, 2]], [[3, 4]]]),
        one_input("flag", "BOOL", [2], [True, False]),
        one_input("text", "BYTES", [2], ["a", "ü"]),
        one_input("texts", "BYTES", [2, 2], ["a", "b", "c", "d"]),
    ]
    seen: list[Any] = []
    found = told(app_of(Graph("g").to(lambda body: seen.append(body)).respond(everything)), {"inputs": inputs})
    assert seen[0] == {
        "id": "first", "scalar": 0.5, "vector": [1, 2], "cube": [[1, 2]], "flag": True, "text": "a",
        "texts": ["a", "b"],
    }  # fmt: skip
    assert seen[1]["scalar"] is None  # no number is null, as everywhere
    assert found["id"] == one_input("id", "BYTES", [2], ["first", "second"])
    assert found["scalar"] == one_input("scalar", "FP64", [2], [0.5, None])
    assert found["vector"] == one_input("vector", "INT64", [2, 2], [1, 2, 3, 4])
    assert found["cube"] == one_input("cube", "INT64", [2, 1, 2], [1, 2, 3, 4])
    assert found["flag"] == one_input("flag", "BOOL", [2], [True, False])
    assert found["texts"] == one_input("texts", "BYTES", [2, 2], ["a", "b", "c", "d"])


def test_a_whole_batch_is_one_batch() -> None:
    vector, count = TableVector(), 500
    g = Graph("fraud")
    g.to(g.enrich(vector)).to(g.predict(LinearModel())).respond()
    body = {
        "inputs": [
            one_input("card_id", "BYTES", [count], ["7"] * count),
            one_input("amount", "FP64", [count], list(range(1, count + 1))),
        ]
    }
    found = told(app_of(g), body)
    assert found["score"]["shape"] == [count]
    assert vector.reads == [count]
    rows = [{"card_id": "7", "amount": amount} for amount in range(1, count + 1)]
    assert found["score"]["data"] == [one["score"] for one in fraud_graph().test(rows)]


def test_a_tensor_of_features_is_what_its_fields_are() -> None:
    """Also where a check before the model changes what it was given."""
    model = LinearModel(features=("a", "b"), weights=(1.0, 2.0))
    rows = np.random.default_rng(3).normal(size=(6, 2))
    rows[1, 1] = np.nan
    plain = [[None if np.isnan(value) else value for value in row] for row in rows.tolist()]
    together = {"inputs": [one_input("rows", "FP64", [6, 2], plain)]}
    apart = {"inputs": [one_input(name, "FP64", [6], [row[at] for row in plain]) for at, name in enumerate("ab")]}

    def doubles(body: dict[str, Any]) -> bool:
        body["a"] *= 2
        return True

    for checks in ((), (doubles,)):
        g = Graph("g")
        for check in checks:
            g.to(g.check(check))
        app = app_of(g.to(g.predict(model)).respond("b"))
        found = told(app, together)
        assert found["score"] == told(app, apart)["score"]
        assert found["b"]["data"] == [row[1] for row in plain]
        expected = model.predict(rows * ([2, 1] if checks else [1, 1]))
        assert found["score"]["data"] == expected.tolist()


def test_dropped_events_have_no_row_and_flattened_ones_several() -> None:
    g = Graph("g")
    parts = g.flatten(lambda body: [{"item": item} for item in body["items"]])
    app = app_of(g.to(g.filter(lambda body: body["keep"])).to(parts).respond(everything))
    items = one_input("items", "INT64", [3, 2], [1, 2, 3, 4, 5, 6])

    def asked(*keep: bool) -> dict[str, Any]:
        return {"id": "r", "inputs": [items, one_input("keep", "BOOL", [3], keep)]}

    assert told(app, asked(False, False, False)) == {"id": one_input("id", "BYTES", [0], [])}
    found = told(app, asked(True, False, True))
    assert found["id"] == one_input("id", "BYTES", [4], ["r-0-0", "r-0-1", "r-2-0", "r-2-1"])
    assert found["item"] == one_input("item", "INT64", [4], [1, 2, 5, 6])
    assert told(app, asked(False, False, False))["item"] == one_input("item", "INT64", [0], [])
    rescued = app_of(Graph("r").to(lambda body: 1 // 0).on_error(lambda error, body: "instead"))
    assert told(rescued, REQUEST) == {"answer": one_input("answer", "BYTES", [2], ["instead", "instead"])}


class Anything:
    """A naive oracle: the value of each row, as the tensor tells it back."""

    @staticmethod
    def rows(tensor: Any) -> list[Any]:
        values = [one.decode() if isinstance(one, bytes) else one for one in tensor.values]
        if len(tensor.shape) == 1:
            return values if tensor.datatype == "BYTES" else np.array(values).tolist()
        rows = np.array(values, object if tensor.datatype == "BYTES" else None).reshape(tensor.shape).tolist()
        return [dict(zip(tensor.columns, row, strict=True)) for row in rows] if tensor.columns else list(rows)


@settings(deadline=None)
@given(
    st.one_of(
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
        st.lists(st.integers(2**63, 2**64 - 1), min_size=1),
        st.lists(st.booleans(), min_size=1),
        st.lists(st.floats(allow_nan=False), min_size=1),
        st.lists(st.text(), min_size=1),
        st.lists(st.lists(st.integers(-5, 5), min_size=2, max_size=2), min_size=1),
        st.lists(st.lists(st.text(max_size=2), min_size=1, max_size=1), min_size=1),
        st.lists(st.fixed_dictionaries({"a": st.floats(allow_nan=False), "b": st.integers(0, 9)}), min_size=1),
    )
)
def test_answers_of_one_type_come_back_as_they_are(column: list[Any]) -> None:
    (tensor,) = outputs([{"y": value} for value in column])
    assert tensor.shape[0] == len(column)
    assert Anything.rows(tensor) == column


@pytest.mark.parametrize(
    ("column", "datatype", "values"),
    [
        ([1, 2.5], "FP64", [1.0, 2.5]),
        (["a", None], "BYTES", ["a", ""]),
        ([[1], [1, 2]], "BYTES", [b"[1]", b"[1,2]"]),
        ([{"a": 1}, {"b": 1}], "BYTES", [b'{"a":1}', b'{"b":1}']),
        ([{"a": "x"}], "BYTES", [b'{"a":"x"}']),
        ([1, "a"], "BYTES", [b"1", b'"a"']),
        ([None], "BYTES", [""]),
        ([np.float32(0.5)], "FP32", [0.5]),
        ([np.int8(3), np.int8(4)], "INT8", [3, 4]),
        ([np.float32(0.5), None], "FP64", None),
        ([np.array([1, 2], np.uint16)], "UINT16", [1, 2]),
        ([b"\xff"], "BYTES", [b"\xff"]),
    ],
)
def test_answers_of_other_types(column: list[Any], datatype: str, values: list[Any] | None) -> None:
    (tensor,) = outputs([{"y": value} for value in column])
    assert tensor.datatype == datatype
    if values is not None:
        assert list(tensor.values) == values


def test_bytes_stay_bytes_where_that_is_said() -> None:
    head = {
        "inputs": [
            {
                "name": "x",
                "datatype": "BYTES",
                "shape": [1],
                "parameters": {"binary_data_size": 6, "content_type": "bytes"},
            }
        ],
        "outputs": [{"name": "x", "parameters": {"binary_data": True}}],
    }
    written = json.dumps(head).encode()
    found = ask(ECHO, written + b"\2\0\0\0\xff\0", **{HEADER: str(len(written))})
    size = int(found.headers[HEADER])
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.content[size:] == b"\2\0\0\0\xff\0"
    assert json.loads(found.content[:size])["outputs"][0]["parameters"] == {"binary_data_size": 6}
    head["outputs"] = [{"name": "x"}]
    written = json.dumps(head).encode()
    found = ask(ECHO, written + b"\2\0\0\0\xff\0", **{HEADER: str(len(written))})
    assert found.status_code == 422
    assert "ask for it with binary_data" in found.json()["error"]


def test_the_first_answer_tells_what_nobody_declared() -> None:
    app = app_of(Graph("g").respond(everything))

    def listed() -> list[str]:
        async def run() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                return await client.get("/g/v2/models/g")

        return [one["name"] for one in asyncio.run(run()).json()["outputs"]]

    assert listed() == ["id"]
    told(app, REQUEST)
    assert listed() == ["id", "x"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inputs": []}, "no inputs"),
        ({"inputs": None}, "inputs must be a list"),
        ({"inputs": [1]}, "an input must be an object"),
        ({"inputs": [one_input("x", "FP31", [1], [1])]}, "no datatype 'FP31'; did you mean 'FP32'"),
        ({"inputs": [one_input("", "FP32", [1], [1])]}, "an input has no name"),
        ({"inputs": [one_input("x", "FP32", [3], [1])]}, "has 1 values; shape [3] needs 3"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}, "give data, or binary_data_size"),
        ({"inputs": [one_input("x", "FP32", [1], [1], parameters={"binary_data_size": 4})]}, "one of them only"),
        ({"inputs": [one_input("x", "FP32", [1], [1], parameters=[])]}, None),
        ({"inputs": [one_input("x", "FP32", [1], [1], parameters=[1])]}, "parameters must be an object"),
        ({"inputs": [one_input("x", "FP32", [], [1])]}, "at least one: x []"),
        ({"inputs": [one_input("x", "FP32", [0], [])]}, "no rows"),
        ({"inputs": [one_input("x", "FP32", [1], [1])] * 2}, "two inputs are called 'x'"),
        ({"outputs": [{"name": "y"}]}, "no output 'y'; known: id, x"),
        ({"outputs": [{}]}, "the name of an output must be a text"),
        ({"outputs": [{"name": "x", "parameters": {"classification": 3}}]}, "nor as classes"),
        ({"id": 3}, "id must be a text"),
        ({"inputs": [one_input("x", "FP32", [1], [1], parameters={"shared_memory_region": "r"})]}, "no shared memory"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(change: dict[str, Any], said: str | None) -> None:
    found = ask(ECHO, REQUEST | change)
    if said is None:
        assert found.status_code == 200
        return
    assert found.status_code == 400
    assert list(found.json()) == ["error"]
    assert said in found.json()["error"]


def test_sizes_of_binary_data_that_lie_are_refused() -> None:
    def head(size: Any) -> bytes:
        one = {"name": "x", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": size}}
        return json.dumps({"inputs": [one]}).encode()

    for size, tail, length, said in (
        (8, b"\0" * 8, None, None),
        (8, b"\0" * 7, None, "binary_data_size is 8, 7 bytes are left"),
        (8, b"\0" * 9, None, "1 bytes behind the JSON belong to no input"),
        (7, b"\0" * 7, None, "'x' has 7 bytes; FP64 [1] needs 8"),
        (-8, b"", None, "no number of bytes"),
        ("8", b"\0" * 8, None, "no number of bytes"),
        (8, b"\0" * 8, "9999", "the header says 9999 bytes of JSON"),
        (8, b"\0" * 8, "x", "Inference-Header-Content-Length is 'x'"),
        (8, b"\0" * 8, "9" * 30, "say how many bytes are JSON"),
        (8, b"\0" * 8, "3", "no JSON"),
    ):
        written = head(size)
        found = ask(ECHO, written + tail, **{HEADER: length or str(len(written))})
        assert found.status_code == (200 if said is None else 400)
        assert said is None or said in found.json()["error"]
    assert "NaN and infinity have to be sent as binary data" in ask(ECHO, b'{"inputs": [NaN]}').json()["error"]


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_request_breaks_the_service(data: st.DataObject) -> None:
    """Whatever a client puts together is answered, or refused as the client's own mistake."""
    anything = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-3, 300)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=5,
    )
    fields = {
        "name": st.just("x") | anything,
        "datatype": st.sampled_from(["INT8", "FP16", "BF16", "BOOL", "BYTES", "UINT64"]) | anything,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | anything,
        "data": st.lists(st.integers(-200, 300), max_size=4) | anything,
        "parameters": st.fixed_dictionaries(
            {}, optional={"binary_data_size": st.integers(-1, 9), "content_type": anything}
        ),
    }
    one = st.fixed_dictionaries({}, optional=fields)
    request = st.fixed_dictionaries(
        {"inputs": st.lists(one, max_size=2) | anything},
        optional={
            "outputs": st.lists(st.fixed_dictionaries({}, optional={"name": anything}), max_size=2),
            "id": anything,
        },
    )
    body = orjson.dumps(data.draw(request)) + data.draw(st.binary(max_size=9))
    size = data.draw(st.none() | st.integers(0, len(body) + 1) | st.just(len(body)))
    found = ask(ECHO, body, **({} if size is None else {HEADER: str(size)}))
    assert found.status_code in (200, 400, 422), found.text
    if found.status_code != 200:
        assert list(found.json()) == ["error"]


def test_a_model_says_what_it_lacks_and_the_step_is_named() -> None:
    model = LinearModel(features=("a", "b"), weights=(1.0, 1.0))
    g = Graph("g")
    app = app_of(g.to(g.predict(model)).respond())
    found = ask(app, {"inputs": [one_input("a", "FP64", [1], [1])]})
    assert (found.status_code, found.json()) == (422, {"error": "the request lacks 'b' (a number) (step predict)"})
    found = ask(app, {"inputs": [one_input("rows", "BYTES", [1, 2], ["a", "b"])]})
    assert (found.status_code, found.json()["error"]) == (400, "input 'rows' is BYTES; the model takes numbers")
