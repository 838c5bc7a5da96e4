"""Queues: a request is answered at the hand-over, and what stands behind goes on with what was known by then."""

import asyncio
from typing import Any

import numpy as np
import pytest

from eagleray.featurestore.events.log import MemoryLog
from eagleray.graphs.flows.compile import Compiled, compiled
from eagleray.graphs.flows.event import Batch, Event, Origin
from eagleray.graphs.flows.event_codec import EventCodec
from eagleray.graphs.flows.log_handoff import EVENT, LogHandoff
from eagleray.graphs.flows.outside import Outside
from eagleray.graphs.flows.queue_cut import cut_at_queues
from eagleray.graphs.flows.queued import Queues
from eagleray.graphs.flows.step_options import QueueRule
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import DefinitionError, InputError, LogFull

from ..parts import LinearModel, TableVector


def marked(body):
    return {**body, "marked": True}


async def late(body):
    await asyncio.sleep(0)
    return {**body, "late": True}


def failing(body):
    raise ValueError("no")


def scored(*behind, **options):
    g = Graph("g")
    g.to(g.enrich(TableVector())).to(g.predict(LinearModel())).to(g.queue(**options))
    for step in behind:
        g.to(step)
    return g


def test_the_answer_has_what_is_known_and_the_tails_answer_comes_at_once_in_a_test():
    g = scored(marked).respond("card_id", "marked")
    answer = g.test({"id": "a", "card_id": "7", "amount": 1.0})
    tail = answer.pop("tails")["tail"]
    assert answer == {"id": "a", "score": tail["score"], "card_id": "7", "marked": None, "queued": True}
    assert tail == {"id": "a", "score": answer["score"], "card_id": "7", "marked": True}
    plain = Graph("g")
    plain.to(marked).to(plain.queue("one")).to(late).to(plain.queue("two")).to(failing)
    assert plain.test([{"id": "x"}, {"id": "y"}]) == [
        {
            "id": name,
            "queued": True,
            "tails": {"one": {"id": name, "queued": True, "tails": {"two": {"error": "failing: ValueError: no"}}}},
        }
        for name in ("x", "y")
    ]


def test_what_travels_is_all_that_steps_read():
    seen: list[Any] = []

    def look(event):
        seen.append((event.features, event.score, dict(event.values)))

    def note(event):
        event.values["noted"] = 3
        event.body["numpy"] = np.float64(2.5)

    g = Graph("g")
    g.to(g.enrich(TableVector())).to(g.predict(LinearModel())).to(note).to(g.queue()).to(look).to(g.explain())
    answer = g.respond("numpy").test({"card_id": "7", "amount": 1.0})
    assert seen[0][0] == {"amount": 1.0, "cards__count_1d": 2.0, "cards__sum_1d": 10.0}
    assert seen[0][1] == answer["score"]
    assert seen[0][2] == {"noted": 3}
    assert answer["tails"]["tail"]["contributions"]["amount"] == pytest.approx(0.01)
    assert answer["tails"]["tail"]["numpy"] == 2.5
    h = Graph("h")
    h.to(lambda body: {"x": object()}).to(h.queue()).to(marked)
    with pytest.raises(InputError, match="cannot be queued"):
        h.test({})


def test_state_before_and_behind_a_queue_is_one():
    g = Graph("g")

    def count(state, body):
        return {"n": state.get("n", 0) + 1}, {**body, "n": state.get("n", 0) + 1}

    g.to(g.state(count, key="k", name="before")).to(g.queue()).to(g.state(count, key="k", name="behind")).respond("n")
    answers = g.test([{"k": 1}, {"k": 2}, {"k": 1}])
    assert [(one["n"], one["tails"]["tail"]["n"]) for one in answers] == [(1, 1), (1, 1), (2, 2)]


def test_queues_stand_on_the_main_way():
    g = Graph("g")
    with pytest.raises(DefinitionError, match=r"queue 'tail' stands in the way 'then'"):
        g.to(g.branch(lambda body: True, then=[g.queue()], name="b"))
    with pytest.raises(DefinitionError, match="at most one a partition"):
        g.queue(workers=5)
    front, tails = cut_at_queues(scored(marked, g.queue("two"), late).respond("x").steps)
    assert [step.name for step in front] == ["enrich", "predict", "tail", "respond"]
    assert [[step.name for step in tail.steps] for tail in tails] == [["marked", "two", "respond"], ["late", "respond"]]


def handing_over(log, **options):
    """The front of a graph whose queue is that log."""
    g = scored(marked, **options).respond("card_id")
    rule = g.steps[2].options.queue
    assert rule is not None
    queues = Queues(EventCodec(g.steps), lambda _: LogHandoff(log, rule, name="tail"))
    return compiled("g", g.steps, outside=Outside(queues=queues))


def test_events_of_a_key_stay_in_their_order_in_one_partition():
    log = MemoryLog(4)
    with handing_over(log, by="card_id") as front:
        for number in range(20):
            events = [Event({"card_id": str(card), "amount": 1.0, "n": number}, f"{number}") for card in range(8)]
            assert front.flow.run(Batch(events))[0]["queued"] is True
    codec = EventCodec(front.flow.steps)
    homes: dict[str, set[int]] = {}
    for batch in log.read(dict.fromkeys(range(4), -1), events=1000):
        for data in batch.frame[EVENT]:
            homes.setdefault(codec.event(data).body["card_id"], set()).add(batch.partition)
    assert all(len(found) == 1 for found in homes.values())
    assert sum(held.events for held in log.held().values()) == 160


def test_a_full_queue_refuses_and_adds_nothing():
    log = MemoryLog(1)
    with handing_over(log, partitions=1, most_waiting=5) as front:
        for number in range(5):
            front.flow.run(Batch([Event({"card_id": "7", "amount": 1.0}, str(number))]))
        with pytest.raises(LogFull, match="queue 'tail' is full: come again in 2 s") as caught:
            front.flow.run(Batch([Event({"card_id": "7", "amount": 1.0}, "x")]))
    assert caught.value.retry_after_s > 0
    assert log.ends() == {0: 4}


def test_an_event_out_of_a_log_is_handed_over_once():
    log = MemoryLog(2)
    with handing_over(log) as front:
        for offset in (0, 1, 0):
            event = Event({"card_id": "7", "amount": 1.0}, "same")
            event.origin = Origin("before:0", offset, -1)
            front.flow.run(Batch([event]))
    assert sum(end + 1 for end in log.ends().values()) == 2


def test_an_explanation_queues_nothing():
    log = MemoryLog(2)
    with handing_over(log) as front:
        asyncio.run(front.flow.explain(Batch([Event({"card_id": "7", "amount": 1.0}, "x")])))
    assert set(log.ends().values()) == {-1}


def test_the_rule_is_part_of_the_step():
    g = Graph("g")
    assert g.queue(by="card.id", retries=0).options.queue == QueueRule(
        ("card", "id"), retries=QueueRule().retries.__class__(0, on=(Exception,), backoff_s=0.1)
    )
    with Compiled.of(scored(late)) as front:
        assert front.flow.is_async is False, "a tail that waits keeps no request waiting"
