"""A graph in several parts on a real Ray Serve: its life, its errors, its settings, and what a killed replica costs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from eagleray.graphs.graph import Graph
from eagleray.graphs.serving.endpoint import Endpoint
from eagleray.runtime.errors import DeploymentError, EaglerayError, InputError
from eagleray.runtime.resources import Resources
from eagleray.runtime.settings import Settings

from ..parts import FileTap, LinearModel, TableVector
from .test_endpoint import post

SMALL = Resources(cpus=0.25)
BODY = {"id": "t1", "card_id": "7", "amount": 10}


def limits(body, *, most=100):
    return body["amount"] <= most or f"more than {most}"


def where(body):
    """Which process this runs in, and what it makes of the amount."""
    return {**body, "pid": os.getpid(), "inverse": 1 / body["amount"]}


def graph(name: str, *, offset: float = 0.0) -> Graph:
    g = Graph(name)
    g.to(g.check(limits)).to(g.enrich(TableVector()))
    ways = {way: lambda body, way=way: {**body, "way": way} for way in "ab"}
    g.to(g.router(ways, weights={"a": 1, "b": 1}))
    apart = Graph("x").to(where).steps[0].needs(cpus=0.1).isolate()
    model = LinearModel(base=offset, version=str(offset))
    return g.to(apart).to(g.predict(model).needs(cpus=0.1).isolate()).respond("way", "pid", "inverse")


@pytest.fixture(scope="module")
def catalog(serving: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The shared Serve with releases of these tests' own."""
    return replace(serving, catalog_url=f"sqlite:///{tmp_path_factory.mktemp('catalog')}/catalog.db")


@pytest.fixture(scope="module")
def tap(tmp_path_factory: pytest.TempPathFactory) -> FileTap:
    return FileTap(tmp_path_factory.mktemp("tap") / "rows.jsonl")


@pytest.fixture(scope="module")
def end(catalog: Settings, tap: FileTap) -> Iterator[Endpoint]:
    """Version 1: the ingress, and a part with two of the steps."""
    end = graph("parted").deploy(settings=catalog, resources=SMALL, tap=tap, warm_up=[BODY])
    assert not tap.path.exists()  # a rehearsal is not traffic
    yield end
    end.stop()
    from eagleray.runtime import ray_parts

    assert ray_parts.known("parted") == []


@contextlib.contextmanager
def load(end: Endpoint, seen) -> Iterator[list[EaglerayError]]:
    """Four clients that ask all the time; `seen` is called with every answer."""
    failed: list[EaglerayError] = []
    done = threading.Event()

    def client(place: int) -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            amount = 1 + (turn % 50)
            try:
                seen(amount, end.call({"id": f"{place}-{turn}", "card_id": "7", "amount": amount}))
            except EaglerayError as error:
                failed.append(error)

    threads = [threading.Thread(target=client, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield failed
    finally:
        done.set()
        for thread in threads:
            thread.join()


def until(condition) -> None:
    """Waits on the thing itself; pytest's time limit bounds it."""
    while not condition():
        threading.Event().wait(0.02)


def test_it_answers_as_in_one_process(end: Endpoint, catalog: Settings, tap: FileTap) -> None:
    assert [part.names for part in graph("parted").plan().parts] == [("where", "predict")]
    answer = end.call(BODY)
    assert answer["score"] == graph("parted").test(BODY)["score"]
    assert (answer["pid"],) == end.status().part_pids
    assert len(tap.path.read_text().splitlines()) == 1
    assert sum(end.explain(BODY)["contributions"].values()) != 0
    again = graph("parted").deploy(settings=catalog, resources=SMALL, tap=tap, warm_up=[BODY])
    assert (again, again.call(BODY)["pid"]) == (end, answer["pid"])


def test_an_error_in_a_part_names_the_step_the_line_and_what_it_was_given(end: Endpoint) -> None:
    status, _, body = post(end.url, json.dumps(BODY | {"amount": 0}).encode())
    problem = json.loads(body)
    assert (status, problem["step"]) == (500, "where")
    assert problem["detail"].startswith("ZeroDivisionError: division by zero (where, line ")
    assert problem["input"] == "{id: str, card_id: str, amount: int, way: str}"


def test_settings_change_without_a_restart(end: Endpoint) -> None:
    pids = end.status().replica_pids
    with pytest.raises(InputError, match="more than 100"):
        end.call(BODY | {"amount": 500})
    end.update(limits={"most": 1000}, router={"a": 1, "b": 0})
    assert {end.call(BODY | {"id": str(n), "amount": 500})["way"] for n in range(20)} == {"a"}
    assert end.status().replica_pids == pids
    with pytest.raises(InputError, match="no step 'limit' whose settings can change; did you mean 'limits'"):
        end.update(limit={"most": 1})


def test_whatever_is_killed_a_request_that_may_be_repeated_is_answered_right(end: Endpoint) -> None:
    right = end.call(BODY)["score"]
    answers: Counter[bool] = Counter()

    def seen(amount: int, told) -> None:
        answers[told["inverse"] == 1 / amount and (amount != 10 or told["score"] == right)] += 1

    with load(end, seen) as failed:
        for which in ("part_pids", "replica_pids"):
            (killed,) = getattr(end.status(), which)
            os.kill(killed, signal.SIGKILL)
            until(lambda which=which, killed=killed: getattr(end.status(), which) not in ((), (killed,)))
            answers.clear()
            until(lambda: answers[True] > 5)
    assert (failed, answers[False]) == ([], 0)
    assert end.call(BODY | {"amount": 500})["way"] == "a"  # the new replica has the settings of the one before


def test_parts_go_along_with_canary_promotion_and_rollback(end: Endpoint, catalog: Settings, tap: FileTap) -> None:
    old = end.call(BODY)["score"]
    shares: Counter[bool] = Counter()

    def seen(amount: int, told) -> None:
        assert told["inverse"] == 1 / amount
        if amount == 10:
            shares[told["score"] == old] += 1

    with load(end, seen) as failed:
        second = graph("parted", offset=1.0).deploy(settings=catalog, resources=SMALL, tap=tap, canary=50)
        assert [(v.number, v.role) for v in second.history()] == [(2, "canary"), (1, "stable")]
        shares.clear()
        until(lambda: min(shares[True], shares[False]) > 5)
        assert second.promote().number == 2
        assert end.call(BODY)["score"] != old
        with pytest.raises(InputError):
            end.call(BODY | {"amount": 500})  # the second version has its own settings
        assert end.rollback().number == 1
        assert end.call(BODY | {"amount": 500})["way"] == "a"  # and the first has kept its
    assert failed == []


def test_a_version_that_fails_at_its_warm_up_is_none(end: Endpoint, catalog: Settings) -> None:
    answer = end.call(BODY)
    with pytest.raises(DeploymentError, match=r"warm-up of 'parted' failed: ZeroDivisionError.*where, line"):
        graph("parted").deploy(settings=catalog, resources=SMALL, warm_up=[BODY | {"amount": 0}])
    assert end.call(BODY)["score"] == answer["score"]
    assert [(v.number, v.role) for v in end.history()][-1] == (1, "stable")
