"""What a worker does with events that nobody waits for, with each failure it may meet, on a log in memory."""

import base64
import json

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.events.log import DeadLetter, MemoryLog
from eagleray.featurestore.sources.event_source import Fetched
from eagleray.graphs.flows.compile import compiled
from eagleray.graphs.flows.event import Event
from eagleray.graphs.flows.event_codec import EventCodec
from eagleray.graphs.flows.log_handoff import LogHandoff
from eagleray.graphs.flows.outside import Outside
from eagleray.graphs.flows.queued import Parcel
from eagleray.graphs.flows.states import MemoryStates
from eagleray.graphs.flows.step_options import QueueRule
from eagleray.graphs.graph import Graph
from eagleray.graphs.streams.answers import MemoryAnswers
from eagleray.graphs.streams.log_feed import LogFeed
from eagleray.graphs.streams.source_feed import SourceFeed
from eagleray.graphs.streams.worker import Worker
from eagleray.runtime.errors import InputError, ServerUnavailable
from eagleray.runtime.retries import Retries

AGAIN = Retries(2, on=(Exception,), backoff_s=0.0)


def count(state, body):
    n = state.get("n", 0) + 1
    return {"n": n}, {**body, "n": n}


class Bench:
    """A queue in memory, and its workers; a new one is what follows a crash."""

    def __init__(self, *steps, states=None):
        self.graph = Graph("g")
        self.states = states or MemoryStates()
        self.log = MemoryLog(1)
        self.codec = EventCodec(())
        self.answers = MemoryAnswers()
        self.graph.to(self.graph.state(count, key="k", name="count"))
        for step in steps:
            self.graph.to(step)
        self.graph.respond("n", "x")

    def queue(self, *bodies):
        handoff = LogHandoff(self.log, QueueRule(partitions=1), name="tail")
        handoff.put([Parcel("k", self.codec.packed(Event(body, str(number)))) for number, body in enumerate(bodies)])

    def worker(self, feed=None):
        flow = compiled("g", self.graph.steps, outside=Outside(states=self.states)).flow
        made = feed or LogFeed(self.log, self.codec, name="tail")
        worker = Worker(made, flow, retries=AGAIN, answers=self.answers, wait=lambda _: None)
        worker.begin("0")
        return worker

    @property
    def counted(self):
        return [json.loads(one.data)["n"] for one in self.answers.put_so_far]

    @property
    def reasons(self):
        return [(letter.place, letter.reason) for letter in self.log.buried()]


def test_events_are_answered_and_then_gone():
    bench = Bench()
    bench.queue(*({"k": 1} for _ in range(5)))
    worker = bench.worker()
    assert worker.step("0") == 5
    assert worker.step("0") == 0
    assert bench.counted == [1, 2, 3, 4, 5]
    assert bench.log.checkpoints() == {0: 4}
    assert bench.log.held()[0].events == 0
    assert worker.counts.events == 5


def test_what_goes_on_failing_is_put_aside_once_and_the_others_go_on():
    tries: list[int] = []

    def picky(body):
        tries.append(body["n"])
        if body["n"] == 2:
            raise ValueError("no twos")
        if body["n"] == 3:
            raise InputError("never")

    bench = Bench(picky)
    bench.queue(*({"k": 1, "x": number} for number in range(4)))
    assert bench.worker().step("0") == 4
    assert bench.counted == [1, 4]
    assert tries == [1, 2, 3, 4, 2, 2], "what does not fit will not fit later"
    assert bench.reasons == [((0, 1), "picky: ValueError: no twos"), ((0, 2), "picky: InputError: never")]
    row = json.loads(bench.log.buried()[0].row)
    assert (row["id"], row["body"]) == ("1", {"k": 1, "x": 1})
    assert bench.codec.event(base64.b64decode(row["event"])).body == {"k": 1, "x": 1}


def test_what_passes_the_second_time_counts_once():
    failures = iter([True, False])

    def once(body):
        if body["x"] == 1 and next(failures):
            raise OSError("away")

    bench = Bench(once)
    bench.queue(*({"k": 1, "x": number} for number in range(3)))
    worker = bench.worker()
    worker.step("0")
    assert bench.counted == [1, 2, 3]
    assert bench.reasons == []
    assert worker.counts.again == 1


@pytest.mark.parametrize("dies_at", ["state", "answers", "checkpoint"])
def test_a_worker_that_dies_anywhere_is_followed_by_one_that_counts_nothing_twice(dies_at):
    class Dead(Exception):
        pass

    bench = Bench()
    bench.queue(*({"k": 1} for _ in range(3)))
    worker = bench.worker()

    def dies(*_, **__):
        raise Dead

    if dies_at == "state":
        worker._answers.put = dies
    elif dies_at == "answers":
        worker._feed.done = dies
    else:
        setattr(bench.log, "trim", dies)  # noqa: B010 - mypy
    with pytest.raises(Dead):
        worker.step("0")
    if dies_at == "state":
        del bench.answers.put
    if dies_at == "checkpoint":
        del bench.log.trim
    bench.queue({"k": 1})
    follower = bench.worker()
    while follower.step("0"):
        pass
    assert bench.counted == [1, 2, 3, 4]


def test_a_server_that_is_away_is_waited_for():
    class Away(MemoryStates):
        is_away = True

        def read(self, keys):
            if self.is_away:
                raise ServerUnavailable("cannot reach it")
            return super().read(keys)

    states = Away()
    bench = Bench(states=states)
    bench.queue({"k": 1})
    worker = bench.worker()
    with pytest.raises(ServerUnavailable):
        worker.step("0")
    assert bench.log.checkpoints() == {0: -1}
    states.is_away = False
    worker.step("0")
    assert (bench.counted, bench.reasons) == ([1], [])


def test_async_tails_and_dropped_events():
    async def late(body):
        return {**body, "x": "late"}

    bench = Bench(late)
    bench.graph = Graph("g")
    bench.graph.to(bench.graph.filter(lambda body: body["k"] != 2, name="some")).to(late)
    bench.graph.to(bench.graph.state(count, key="k", name="count")).respond("n", "x")
    bench.queue({"k": 1}, {"k": 2}, {"k": 1})
    worker = bench.worker()
    worker.step("0")
    worker.close()
    assert [json.loads(one.data) for one in bench.answers.put_so_far] == [
        {"id": "0", "n": 1, "x": "late"},
        {"id": "2", "n": 2, "x": "late"},
    ]


def test_foreign_batches_are_put_aside():
    bench = Bench()
    bench.log.append({0: pl.DataFrame({"other": [1, 2]})})
    bench.queue({"k": 1})
    assert bench.worker().step("0") == 2
    assert bench.reasons == [((0, 0), "no event of a graph")]


class ListSource:
    """A source of one part whose positions are ten apart; some messages are no rows."""

    name = "list://x"

    def __init__(self, messages):
        self.messages = messages

    def parts(self):
        return ["0"]

    def fetch(self, part, after, *, most):
        first = 0 if after < 0 else after // 10 + 1
        found = self.messages[first : first + most]
        if not found:
            return None
        rows = [(message, 10 * place) for place, message in enumerate(found, first) if isinstance(message, dict)]
        letters = tuple(DeadLetter("no row", message) for message in found if isinstance(message, str))
        positions = np.array([position for _, position in rows], dtype=np.int64)
        return Fetched([row for row, _ in rows], positions, letters, 10 * (first + len(found) - 1))

    def close(self):
        pass


def test_a_source_is_read_from_where_it_was_left():
    bench = Bench()
    source = ListSource([{"k": 1, "x": 0}, "garbage", {"k": 1, "id": 77}, {"k": "other"}])
    ledger = MemoryLog(1)
    for _ in range(2):
        feed = SourceFeed(source, ledger, name="g<list")
        worker = bench.worker(feed)
        while worker.step("0", most=2):
            pass
        source.messages.append({"k": 1})
    worker.step("0")
    assert [(one.id, json.loads(one.data)["n"]) for one in bench.answers.put_so_far] == [
        ("0-0", 1), ("77", 2), ("0-30", 1), ("0-40", 3), ("0-50", 4),
    ]  # fmt: skip
    assert [letter.reason for letter in feed.buried(most=9)] == ["no row"]
    assert ledger.ends() == {0: -1}, "the ledger keeps places, no events"
