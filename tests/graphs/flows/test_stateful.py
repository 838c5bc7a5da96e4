"""State steps: what is remembered by key, exactly, whoever else writes and however often an event comes."""

import threading
import uuid
from dataclasses import replace

import pytest

from eagleray.featurestore.store import FeatureStore
from eagleray.graphs.flows.compile import Compiled
from eagleray.graphs.flows.event import Batch, Event, Origin
from eagleray.graphs.flows.redis_states import open_states
from eagleray.graphs.flows.stateful import Stateful
from eagleray.graphs.flows.states import MemoryStates
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import DefinitionError, InputError, StorageError


def count(state, body):
    n = state.get("n", 0) + body.get("by", 1)
    return {"n": n}, {**body, "n": n}


def counting(name="g", function=count, **options):
    g = Graph(name)
    return g.to(g.state(function, key="card.id", name="count", **options)).respond("n")


def body(card, **more):
    return {"card": {"id": card}, **more}


def found(answers):
    return [one["n"] for one in answers]


def test_events_of_a_key_are_counted_in_their_order():
    assert found(counting().test([body("a"), body("b"), body("a", by=5), body(7), body("7"), body("a")])) == [
        1, 1, 6, 1, 1, 7,
    ]  # fmt: skip
    assert found(counting().test([body("a")])) == [1], "a test remembers nothing"
    bad: dict[str, object]
    for bad in ({}, body(None), body(True), body(1.5)):
        with pytest.raises(InputError, match=r"card"):
            counting().test(bad)


def test_it_is_declared_whole():
    g = Graph("g")

    async def later(state, body):
        return state, body

    for wrong, said in ((later, "plain function, not async"), (lambda body: body, r"it is given \(state, body\)")):
        with pytest.raises(DefinitionError, match=said):
            g.state(wrong, key="card")
    with pytest.raises(DefinitionError, match="ttl_s"):
        g.state(count, key="card", ttl_s=0)


def test_a_failing_event_leaves_the_state_as_it_was():
    def spoil(state, body):
        state["n"] = state.get("n", 0) + 1
        if body.get("bad"):
            raise ValueError("spoilt")
        return state, {**body, "n": state["n"]}

    with Compiled.of(counting(function=spoil)) as compiled:
        batches = [Batch([Event(body("a", bad=bad), "x")]) for bad in (False, True, False)]
        one, two, three = compiled.flow.run_together(batches)
        assert [one, three] == [[{"id": "x", "n": 1}], [{"id": "x", "n": 2}]]
        assert isinstance(two, ValueError)
        assert batches[1].step == "count"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (lambda s, b: b, "return the new state and the new body"),
        (lambda s, b: ([1], b), "gave list as the new state"),
        (lambda s, b: ({}, 1), "gave int as the new body"),
        (lambda s, b: ({"x": {1, 2}}, b), "state that cannot be kept"),
        (lambda s, b: ({"x": 2**70}, b), "state that cannot be kept"),
    ],
)
def test_what_cannot_be_kept_is_told(result, said):
    with pytest.raises(TypeError, match=said):
        counting(function=result).test(body("a"))


def test_state_is_exact_and_can_be_given_up():
    kept = {"nan": float("nan"), "int": 2**62, "bytes": b"\x00", "keys": {7: "seven"}, "text": "\N{SNOWMAN}"}
    seen = []

    def keep(state, body):
        seen.append(state)
        return (None if body.get("end") else kept), None

    g = Graph("g")
    g.to(g.state(keep, key="k"))
    answers = g.test([{"k": 1}, {"k": 1, "end": True}, {"k": 1}])
    assert answers[0] == {"id": "test-0", "k": 1}
    assert repr(seen) == repr([{}, kept, {}])


@pytest.fixture
def store(server):
    with FeatureStore(server) as made:
        yield made


def test_a_store_remembers_by_graph_and_step(store):
    name = f"g{uuid.uuid4().hex}"
    for expected in (1, 2):
        assert counting(name).test(body("a"), store=store)["n"] == expected
    assert counting(f"{name}x").test(body("a"), store=store)["n"] == 1


def test_replicas_that_compete_lose_nothing(store):
    """Two flows a thread, eight threads, three keys: the sum is exact, and each count was given once."""
    name, rounds = f"g{uuid.uuid4().hex}", 40
    given: list[tuple[str, int]] = []

    def work():
        with Compiled.of(counting(name), store=store) as compiled:
            for number in range(rounds):
                cards = [f"card{(number + place) % 3}" for place in range(4)]
                answers = compiled.flow.run(Batch([Event(body(card), "x") for card in cards]))
                given.extend(zip(cards, found(answers), strict=True))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for card in ("card0", "card1", "card2"):
        mine = sorted(n for one, n in given if one == card)
        assert mine == list(range(1, len(mine) + 1))
    assert len(given) == 8 * rounds * 4


def test_who_is_always_late_hears_of_it():
    class Busy(MemoryStates):
        def exchange(self, exchanges):
            return [False] * len(exchanges)

    g = counting()
    batch = Batch([Event(body("a"), "x")])
    Stateful("g", g.steps[0], count, Busy())(batch)
    assert isinstance(batch.failed[0].error, StorageError)


def test_an_event_that_comes_twice_counts_once(store):
    """Whoever redelivers it: the result is the same, and the state moves once; what is done goes no further."""
    states = open_states(store.settings)
    stage = Stateful(f"g{uuid.uuid4().hex}", counting().steps[0], count, states)

    def deliver(*offsets, done=-1, part=""):
        events = [Event(body("a"), str(offset)) for offset in offsets]
        for event, offset in zip(events, offsets, strict=True):
            event.origin = Origin("log:0", offset, done, part)
        batch = Batch(events)
        stage(batch)
        assert batch.events == [event for event in events if not event.is_dropped]
        return ["done" if event.is_dropped else event.error or event.body["n"] for event in events]

    assert deliver(0, 1, 2) == [1, 2, 3]
    assert deliver(1, 2, 3) == [2, 3, 4]
    assert deliver(2, 3, 4, done=1) == [3, 4, 5]
    assert deliver(4, part="/0") == [6], "another item of the same event"
    assert deliver(1, 3) == ["done", 4]
    event = Event(body("a"), "direct")
    stage(Batch([event]))
    assert event.body["n"] == 7
    assert len(states.read([stage._key(event)])[0] or b"") < 400, "what is done for good is forgotten"
    states.close()


def test_items_of_a_flattened_event_are_told_apart():
    g = Graph("g")
    g.to(g.flatten("items")).to(g.state(count, key="card.id")).respond("n")
    with Compiled.of(g) as compiled:
        for _ in range(2):
            event = Event({"items": [body("a"), body("a")]}, "x")
            event.origin = Origin("log:0", 0, -1)
            assert [[one["n"] for one in answer] for answer in compiled.flow.run(Batch([event]))] == [[1, 2]]


def test_the_rule_is_part_of_the_version():
    from eagleray.graphs.flows.compile import version

    versions = {version(counting(ttl_s=ttl_s).steps) for ttl_s in (None, 1.0, 2.0)}
    assert len(versions) == 3
    assert version((replace(counting().steps[0]),)) == version((counting().steps[0],))
