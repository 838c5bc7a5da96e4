from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

from eagleray.autoscaling.scale import Scale
from eagleray.graphs.graph import Graph
from eagleray.runtime import haproxy_launch
from eagleray.runtime.errors import (
    EaglerayError,
    InputError,
    ModelMismatch,
    NotFoundError,
    ServerUnavailable,
)
from eagleray.runtime.resources import Resources
from eagleray.runtime.settings import Settings

from ..parts import FileTap, LinearModel, fraud_graph

BODY = {"id": "t1", "card_id": "7", "amount": 10}
SMALL = Resources(cpus=0.25)


def post(url, content, **headers):
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        connection.request("POST", parts.path, content, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def tap_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tap") / "rows.jsonl"


@pytest.fixture(scope="module")
def endpoint(serving: Settings, tap_file: Path):
    end = fraud_graph("cards").deploy(settings=serving, resources=SMALL, tap=FileTap(tap_file))
    yield end
    end.stop()


def test_it_answers_as_in_process(endpoint, tap_file):
    expected = fraud_graph().test(BODY)
    assert endpoint.call(BODY) == expected
    assert endpoint.call([BODY, BODY]) == [expected, expected]
    rows = [json.loads(line) for line in tap_file.read_text().splitlines()]
    assert rows[0][:3] == ["t1", [10.0, 2.0, 10.0], expected["score"]]
    assert json.loads(tap_file.with_suffix(".names").read_text()) == list(LinearModel().features)


def test_steps_tell_what_they_do(endpoint):
    endpoint.call([BODY, BODY])
    deadline = time.monotonic() + 20
    while not endpoint.figures() and time.monotonic() < deadline:
        endpoint.call(BODY)
    figures = endpoint.figures()
    assert list(figures) == ["positive", "enrich", "predict"]
    assert figures["predict"].events >= 2
    assert figures["predict"].busy_us > 0
    assert str(figures["predict"]) in endpoint.plot().svg


def test_explain_over_http_adds_up_and_is_not_tapped(endpoint, tap_file):
    before = tap_file.read_text()
    told = endpoint.explain(BODY)
    margin = told["base_value"] + sum(told["contributions"].values())
    assert 1 / (1 + math.exp(-margin)) == pytest.approx(told["score"])
    assert tap_file.read_text() == before


@pytest.mark.skipif(haproxy_launch.binary() is None, reason="no HAProxy for this platform")
def test_clients_of_the_inference_protocol_get_the_same_answers(endpoint):
    rows = [{"card_id": card, "amount": amount} for card in ("7", "8", "none") for amount in (1, 20, 300)]
    expected = endpoint.call(rows)
    for module in (over_http, over_grpc):
        with module.InferenceServerClient(endpoint.grpc_address) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("cards", endpoint.version)
            told = client.get_model_metadata("cards", **({"as_json": True} if module is over_grpc else {}))
            assert (told["name"], told["versions"]) == ("cards", [endpoint.version])
            amounts = module.InferInput("amount", [9, 1], "INT64")
            amounts.set_data_from_numpy(np.array([[row["amount"]] for row in rows]))
            cards = module.InferInput("card_id", [9], "BYTES")
            cards.set_data_from_numpy(np.array([row["card_id"] for row in rows], dtype=object))
            found = client.infer("cards", [amounts, cards])
            assert found.as_numpy("score").tolist() == [answer["score"] for answer in expected]
            for wrong in ([amounts], [cards]):
                with pytest.raises(InferenceServerException, match=r"'(card_id|amount)'.* \(step enrich\)"):
                    client.infer("cards", wrong)
            with pytest.raises(InferenceServerException, match="nobody"):
                client.infer("nobody", [amounts])


def test_errors_come_back_as_themselves(endpoint):
    with pytest.raises(InputError, match=r"'amount' must be above 0 \(step positive\)"):
        endpoint.call({"card_id": "7", "amount": -1})
    with pytest.raises(InputError, match="lacks 'card_id'"):
        endpoint.call({"amount": 1})
    with pytest.raises(EaglerayError, match="TypeError"):
        endpoint.call({"card_id": "7", "amount": "x"})


def test_problems_over_http(endpoint):
    for path, content, status in [
        ("", b"{", 400),
        ("/nope", b"{}", 404),
        ("", b" " * (5 << 20), 413),
        ("", b'{"amount":1}', 422),
    ]:
        got, headers, body = post(endpoint.url + path, content)
        assert got == status
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(body)["status"] == status


def test_one_request_id_and_no_growing_headers(endpoint):
    sizes = set()
    for _ in range(100):
        _, headers, _ = post(endpoint.url, json.dumps(BODY).encode(), **{"x-request-id": "mine"})
        assert headers.get_all("x-request-id") == ["mine"]
        sizes.add(len([name for name in headers if name.lower() != "connection"]))
    assert len(sizes) <= 2  # through Serve's own proxy, until the other one knows the replica, there is one more
    _, headers, body = post(endpoint.url, b'{"card_id":"7","amount":1}')
    assert headers.get_all("x-request-id") == [json.loads(body)["id"]]


def test_several_clients_at_once_get_their_own_answers(endpoint):
    wrong = []

    def client(place):
        for turn in range(40):
            name = f"{place}-{turn}"
            if endpoint.call(BODY | {"id": name, "amount": turn + 1})["id"] != name:
                wrong.append(name)

    threads = [threading.Thread(target=client, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_same_content_again_changes_nothing(endpoint, serving, tap_file):
    began = time.monotonic()
    again = fraud_graph("cards").deploy(settings=serving, resources=SMALL, tap=FileTap(tap_file))
    assert again == endpoint
    assert time.monotonic() - began < 2


def test_a_killed_replica_answers_again(endpoint):
    (pid,) = endpoint.status().replica_pids
    os.kill(pid, 9)
    by = time.monotonic() + 30
    while endpoint.status().replica_pids in ((), (pid,)):
        with contextlib.suppress(ServerUnavailable):  # what was in flight on the killed replica
            assert endpoint.call(BODY)["id"] == "t1"
        assert time.monotonic() < by
    assert endpoint.call(BODY)["id"] == "t1"


def test_a_new_version_takes_over_and_a_broken_one_does_not(serving):
    def build(offset):
        def shift(body):
            return body | {"amount": body["amount"] + offset}

        model = LinearModel(features=("amount",), weights=(1.0,), base=0.0)
        g = Graph("shifted")
        return g.to(shift).to(g.predict(model)).respond("amount")

    first = build(1).deploy(settings=serving, resources=SMALL)
    assert first.call({"amount": 1})["amount"] == 2
    second = build(2).deploy(settings=serving, resources=SMALL)
    assert second.version != first.version
    assert second.call({"amount": 1})["amount"] == 3
    with pytest.raises(ModelMismatch):
        fraud_graph("shifted", model=LinearModel(features=("other",), weights=(1.0,))).deploy(settings=serving)
    assert second.call({"amount": 1})["amount"] == 3
    second.stop()
    with pytest.raises(NotFoundError):
        second.call({"amount": 1})


def test_load_moves_the_replicas_from_none_to_many_and_back(serving):
    scale = Scale(min=0, max=2, target=2, up_delay_s=1, down_delay_s=1, idle_delay_s=1)
    end = Graph("busy").to(spin).respond().deploy(settings=serving, resources=SMALL, scale=scale)
    until = time.monotonic() + 60
    done = threading.Event()
    failed = []

    def client():
        while not done.is_set() and time.monotonic() < until:
            try:
                end.call({"ms": 5})
            except EaglerayError as error:
                failed.append(error)

    def wait_for(after):
        while (decisions := end.scaling())[-1:] == [] or decisions[-1].after != after:
            assert time.monotonic() < until, end.scaling()

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(after=2)
    done.set()
    for thread in threads:
        thread.join()
    up = next(decision for decision in end.scaling() if decision.after == 2)
    assert up.before == 1
    assert 4.4 < up.load < 12
    assert "in flight for 1 s needs 2" in up.reason
    wait_for(after=0)
    while end.status().replicas:
        assert time.monotonic() < until
    # Nobody is there: the request waits for a replica instead of failing, also that of the inference protocol.
    if haproxy_launch.binary() is not None:
        with over_grpc.InferenceServerClient(end.grpc_address) as tensors:
            assert tensors.infer("busy", [ms_of(over_grpc, 0)]).as_numpy("id").shape == (1,)
    assert end.call({"ms": 0})["ms"] == 0
    assert failed == []
    end.stop()


def ms_of(module, value):
    return module.InferInput("ms", [1], "INT64").set_data_from_numpy(np.array([value]))


def spin(body):
    """Keeps a replica busy for some milliseconds, as a model would."""
    end = time.perf_counter() + body["ms"] / 1000
    while time.perf_counter() < end:
        pass
