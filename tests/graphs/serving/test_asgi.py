import asyncio
import json

import httpx
import pyarrow as pa
import pytest

from eagleray.functions.http.arrow_stream import from_stream, to_stream
from eagleray.functions.http.content_types import ARROW
from eagleray.functions.http.http_app import MAX_BODY_BYTES, HttpOptions
from eagleray.graphs.flows.compile import Compiled
from eagleray.graphs.graph import Graph
from eagleray.graphs.serving.asgi import graph_app

from ..parts import LinearModel, TableVector, fraud_graph

BODY = {"id": "t1", "card_id": "7", "amount": 10}


def ask(graph, *requests):
    """The answers to (method, path, keyword arguments), all asked at the same time."""

    async def run():
        compiled = Compiled.of(graph)
        app = graph_app(compiled, HttpOptions(), request_types={"amount": "float64"})
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await asyncio.gather(
                *(client.request(method, path, **arguments) for method, path, arguments in requests)
            )

    return asyncio.run(run())


def one(method, path, graph=None, **arguments):
    (response,) = ask(graph or fraud_graph(), (method, path, arguments))
    return response


def problem(response):
    assert response.headers["content-type"] == "application/problem+json"
    told = response.json()
    assert told["status"] == response.status_code
    assert told["request_id"] == response.headers["x-request-id"]
    return told


def test_an_object_and_a_list():
    alone = one("POST", "/fraud", json=BODY).json()
    assert alone == fraud_graph().test(BODY)
    assert one("POST", "/fraud/", json=[BODY, BODY]).json() == [alone, alone]


def test_requests_at_the_same_time_share_a_read():
    requests = [("POST", "/fraud", {"json": BODY | {"id": str(place)}}) for place in range(20)]
    vector = TableVector()
    responses = ask(fraud_graph(vector=vector), *requests)
    assert [response.json()["id"] for response in responses] == [str(place) for place in range(20)]
    assert max(vector.reads) > 1


def test_the_request_id_is_echoed_or_made():
    assert one("POST", "/fraud", json=BODY, headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    made = one("POST", "/fraud", json={"card_id": "7", "amount": 1})
    assert len(made.headers["x-request-id"]) == 32
    assert made.json()["id"] == made.headers["x-request-id"]


def test_explain_adds_up():
    told = one("POST", "/fraud/explain", json=BODY).json()
    assert told["base_value"] == -1.0
    assert list(told["contributions"]) == ["amount", "cards__count_1d", "cards__sum_1d"]


def test_pages():
    assert one("GET", "/fraud/health").json() == {"status": "alive"}
    assert one("GET", "/fraud/ready").json()["name"] == "fraud"
    spec = one("GET", "/fraud/openapi.json").json()
    model = "/fraud/v2/models/fraud"
    inference = {
        f"{model}/infer",
        model,
        f"{model}/ready",
        "/fraud/v2",
        "/fraud/v2/health/live",
        "/fraud/v2/health/ready",
    }
    assert set(spec["paths"]) == {"/fraud", "/fraud/explain", "/fraud/health", "/fraud/ready"} | inference
    assert ARROW.decode() in spec["paths"]["/fraud"]["post"]["requestBody"]["content"]
    assert "POST /fraud/explain" in one("GET", "/fraud/docs").text
    example = spec["paths"][f"{model}/infer"]["post"]["requestBody"]["content"]["application/json"]["schema"]["default"]
    assert one("POST", f"{model}/infer", json=example).status_code == 422  # it knows nothing of card_id, nor do we
    known = {"name": "card_id", "datatype": "BYTES", "shape": [1], "data": ["7"]}
    assert one("POST", f"{model}/infer", json={"inputs": [*example["inputs"], known]}).status_code == 200


def test_tables_come_in_and_go_out_as_arrow():
    table = pa.table({"card_id": ["7", "8", "none"], "amount": [10, 20, None]})
    for path in ("/fraud", "/fraud/explain"):
        rows = [BODY | {"card_id": "7"}, BODY | {"card_id": "8", "amount": 20}]
        plain = one("POST", path, json=rows).json()
        sent = pa.Table.from_pylist(rows)
        headers = {"content-type": ARROW.decode()}
        assert one("POST", path, content=to_stream(sent), headers=headers).json() == plain
        found = one("POST", path, json=rows, headers={"accept": ARROW.decode()})
        assert found.headers["content-type"] == ARROW.decode()
        assert from_stream(found.content).to_pylist() == plain
    told = problem(one("POST", "/fraud", content=to_stream(table), headers=headers))
    assert (told["status"], told["step"]) == (500, "positive")  # the user's own check met the null
    for content, status, said in (
        (b"{}", 422, "no Arrow IPC stream"),
        (to_stream(sent)[:200], 422, "no Arrow IPC stream"),
        (to_stream(sent.slice(0, 0)), 400, "has no rows"),
        (to_stream({"a": list(range(10_001))}), 413, "10001 events"),
    ):
        told = problem(one("POST", "/fraud", content=content, headers=headers))
        assert (told["status"], said in told["detail"]) == (status, True), told


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"{", 400, "no JSON"),
        (b"", 400, "no JSON"),
        (b"3", 400, "is a number"),
        (b"[]", 400, "is an empty list"),
        (b'[{"a":1},2]', 400, "item 1 of the list is a number"),
        (b'{"amount":1}', 422, "lacks 'card_id'"),
        (b'{"amount":"x","card_id":"7"}', 500, "TypeError"),
        (b'{"amount":0,"card_id":"7"}', 422, "'amount' must be above 0"),
        (b" " * (MAX_BODY_BYTES + 1), 413, "send the data in parts"),
        (b"[" + b",".join([b"{}"] * 10_001) + b"]", 413, "10001 events"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(content, status, said):
    response = one("POST", "/fraud", content=content)
    assert response.status_code == status
    told = problem(response)
    assert said in told["detail"]
    assert "\n" not in told["detail"]
    assert "site-packages" not in response.text


def test_the_step_is_named():
    assert problem(one("POST", "/fraud", json={"amount": 1}))["step"] == "enrich"
    told = problem(one("POST", "/fraud", json={"card_id": "7", "amount": "x"}))
    assert told["step"] == "positive"
    assert told["input"] == "{card_id: str, amount: str}"
    assert "positive, line " in told["detail"]


def test_other_paths_and_methods():
    assert "there are /fraud, /fraud/explain" in problem(one("POST", "/fraud/nope", json={}))["detail"]
    wrong = one("GET", "/fraud")
    assert wrong.headers["allow"] == "POST"
    assert problem(wrong)["status"] == 405
    assert problem(one("POST", "/fraud/health"))["status"] == 405
    assert one("POST", "/plain/explain", Graph("plain").to(print), json={}).status_code == 422


def test_a_body_in_pieces_is_cut_off_when_it_grows_too_large():
    async def pieces():
        for _ in range(MAX_BODY_BYTES // 65_536 + 2):
            yield b" " * 65_536

    assert one("POST", "/fraud", content=pieces()).status_code == 413

    async def small():
        yield json.dumps(BODY).encode()[:10]
        yield json.dumps(BODY).encode()[10:]

    assert one("POST", "/fraud", content=small()).json()["id"] == "t1"


def test_async_steps_run_too():
    async def later(body):
        await asyncio.sleep(0)
        return body | {"amount": body["amount"] * 2}

    g = Graph("fraud")
    g.to(later).to(g.enrich(TableVector())).to(g.predict(LinearModel())).respond("amount")
    assert one("POST", "/fraud", g, json=BODY).json()["amount"] == 20
    assert one("POST", "/fraud/explain", g, json=BODY).json()["features"]["amount"] == 20
