"""Deployed graphs with state and queues: what is behind is done, whoever is killed, and what is full refuses."""

import os
import signal
import threading
from typing import Any

import pytest

from eagleray.graphs.flows.meter import Figures
from eagleray.graphs.graph import Graph
from eagleray.runtime import redis_client
from eagleray.runtime.resources import Resources
from eagleray.runtime.settings import Settings

from ...functions.lasting_shell import awaited
from .test_endpoint import post

SMALL = Resources(cpus=0.25)


def noting(stream: str, settings: Settings):
    """A graph whose tail counts by card and says where it runs."""

    def count(state, body):
        return {"n": state.get("n", 0) + 1}, {**body, "n": state.get("n", 0) + 1}

    class Note:
        def setup(self):
            self.client = redis_client.connect(settings)

        def __call__(self, body):
            if body["card"] == "bad":
                raise ValueError("bad card")
            entry: dict[Any, Any] = {"id": body["number"], "n": body["n"], "pid": os.getpid()}
            self.client.xadd(stream, entry)

    g = Graph("tails")
    g.to(g.state(count, key="card", name="first")).to(g.queue("later", by="card", retries=0))
    return g.to(g.state(count, key="card", name="second")).to(Note).respond("card", "n")


@pytest.fixture(scope="module")
def endpoint(serving: Settings):
    end = noting("noted", serving).deploy(settings=serving, resources=SMALL)
    yield end
    end.stop()


def until_done(endpoint):
    pause = threading.Event()
    for _ in range(600):
        if endpoint.queue("later").status().waiting == 0:
            return
        pause.wait(0.05)
    raise AssertionError(endpoint.queue("later").status())


def noted(settings) -> list[dict[bytes, bytes]]:
    with redis_client.connect(settings) as client:
        entries: Any = client.xrange("noted")
        return [fields for _, fields in entries]


def test_the_answer_does_not_wait_and_the_tail_is_done_elsewhere(endpoint, serving):
    for number in range(10):
        answer = endpoint.call({"id": str(number), "card": "a", "number": number})
        assert answer == {"id": str(number), "card": "a", "n": number + 1, "queued": True}
    until_done(endpoint)
    found = noted(serving)
    assert [int(one[b"n"]) for one in found] == list(range(1, 11))
    pids = {int(one[b"pid"]) for one in found}
    assert not pids & {os.getpid(), *endpoint.status().replica_pids}
    (consumer,) = endpoint.queue("later").status().consumers.values()
    assert consumer["parts"] == ["0", "1", "2", "3"]
    figures = awaited(lambda: (told := endpoint.figures()).get("Note", Figures()).events >= 10 and told)
    assert [name for name in figures if figures[name].events] == ["first", "later", "second", "Note"]
    assert str(figures["Note"]) in endpoint.plot().svg


def test_a_killed_worker_is_followed_by_another(endpoint, serving):
    before, killed, pause = len(noted(serving)), 0, threading.Event()
    for number in range(60):
        endpoint.call({"card": f"k{number % 3}", "number": 1000 + number})
        if number in (10, 30):
            while (pid := int(noted(serving)[-1][b"pid"])) == killed:
                pause.wait(0.05)
            killed = pid
            os.kill(killed, signal.SIGKILL)
    until_done(endpoint)
    found = [one for one in noted(serving)[before:] if int(one[b"id"]) >= 1000]
    counted = {(int(one[b"id"]), int(one[b"n"])) for one in found}
    # A function may be called again after a crash, but what state made of an event stays what it was.
    assert counted == {(1000 + number, number // 3 + 1) for number in range(60)}


def test_what_fails_is_put_aside_and_gets_another_chance(endpoint):
    endpoint.call({"id": "b", "card": "bad", "number": 1})
    until_done(endpoint)
    view = endpoint.queue("later")
    (letter,) = view.dead_letters()
    assert letter.reason == "Note: ValueError: bad card"
    assert view.replay() == 1
    until_done(endpoint)
    assert len(view.dead_letters()) == 1
    assert view.replay() == 1


def test_a_full_queue_answers_503_with_the_time_to_come_again(serving: Settings):
    g = Graph("full")
    g.to(g.queue(partitions=1, most_waiting=1)).to(lambda body: threading.Event().wait())
    end = g.deploy(settings=serving, resources=SMALL)
    try:
        statuses = [post(end.url, b"{}") for _ in range(4)]
    finally:
        end.stop()
    assert statuses[0][0] == 200
    assert statuses[-1][0] == 503
    assert int(statuses[-1][1]["retry-after"]) >= 1
    assert b"queue 'tail' is full" in statuses[-1][2]


def test_workers_end_with_their_graph(serving: Settings):
    g = Graph("ended")
    g.to(g.queue()).to(lambda body: None)
    end = g.deploy(settings=serving, resources=SMALL)
    end.call({})
    view, pause = end.queue(), threading.Event()
    while not view.status().consumers:
        pause.wait(0.05)
    end.stop()
    while view.status().consumers:
        pause.wait(0.05)


def test_a_deployed_stream_goes_on_whoever_is_killed_and_from_where_it_was_stopped(serving: Settings):
    from ..streams.test_graph_stream import Streams

    streams, pause = Streams(serving), threading.Event()

    def count_and_tell(state, body):
        return {"n": state.get("n", 0) + 1}, {**body, "n": state.get("n", 0) + 1, "pid": os.getpid()}

    g = Graph("streamed")
    g.to(g.state(count_and_tell, key="card", name="count")).respond("n", "pid")

    def answered(number):
        for _ in range(1200):
            if len(found := streams.answers()) >= number:
                return found
            pause.wait(0.05)
        raise AssertionError(deployed.status())

    deployed = g.deploy_stream(streams.source, answers=f"out-{streams.name}", workers=2, settings=serving)
    streams.write(*({"card": "a"} for _ in range(20)))
    os.kill(answered(20)[-1]["pid"], signal.SIGKILL)
    streams.write(*({"card": "a"} for _ in range(20)))
    assert [one["n"] for one in answered(40)] == list(range(1, 41))
    assert deployed.status().waiting == 0
    assert deployed.stop() == 2
    streams.write({"card": "a"})
    assert deployed.status().waiting == 1
    deployed = g.deploy_stream(streams.source, answers=f"out-{streams.name}", settings=serving)
    assert [one["n"] for one in answered(41)][-1] == 41
    assert deployed.stop() == 1
    assert deployed.dead_letters() == []
    streams.client.close()
