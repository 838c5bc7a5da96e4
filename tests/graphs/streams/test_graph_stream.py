"""Graphs over a real stream: shared by consumers, each event once, what fails put aside."""

import json
import uuid
from typing import Any

import pytest

from eagleray.graphs.graph import Graph
from eagleray.runtime import redis_client, valkey_server
from eagleray.runtime.errors import NotFoundError
from eagleray.runtime.settings import Settings


def count(state, body):
    n = state.get("n", 0) + 1
    return {"n": n}, {**body, "n": n}


def refuse_none(body):
    if body["amount"] == "none":
        raise ValueError("no amount")


class Streams:
    """A source and a stream of answers on a server, under names of the test's own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = redis_client.connect(settings)
        self.name = uuid.uuid4().hex
        url = settings.redis_url or valkey_server.ensure(settings.home).url
        self.source = f"{url.removesuffix('/0')}/{self.name}"

    def write(self, *rows):
        for row in rows:
            self.client.xadd(self.name, row)

    def graph(self):
        g = Graph(f"g{self.name[:20]}")
        return g.to(refuse_none).to(g.state(count, key="card", name="count")).to(g.queue()).respond("card", "n")

    def stream(self, **options):
        return self.graph().stream(self.source, answers=f"out-{self.name}", settings=self.settings, **options)

    def answers(self):
        entries: Any = self.client.xrange(f"out-{self.name}")
        return [json.loads(fields[b"answer"]) for _, fields in entries]


@pytest.fixture
def streams(server: Settings):
    made = Streams(server)
    yield made
    made.client.close()


def test_events_are_answered_once_and_places_are_kept(streams):
    streams.write(*({"card": str(n % 3), "amount": "1"} for n in range(9)))
    with streams.stream() as stream:
        stream.wait_until_done()
        assert stream.events == 9
    streams.write({"card": "0", "amount": "none"}, {"json": '{"card": 0, "amount": 1, "id": "mine"}'}, {"bad": "{"})
    with streams.stream(retries=0) as stream:
        stream.wait_until_done()
        told = stream.status()
        letters = stream.dead_letters()
    assert [(one["card"], one["n"]) for one in streams.answers()] == [
        *((str(n % 3), n // 3 + 1) for n in range(9)), (0, 1),
    ]  # fmt: skip
    assert streams.answers()[-1]["id"] == "mine"
    reasons = sorted(letter.reason for letter in letters)
    assert "no JSON" in reasons[0]
    assert reasons[1] == "refuse_none: ValueError: no amount"
    assert (told.waiting, told.buried) == (0, 2)
    assert [one["events"] for one in told.consumers.values()]


def test_fields_are_read_by_a_schema(streams):
    streams.write({"card": "7", "amount": "2.5"}, {"card": "x", "amount": "1"})
    schema = {"card": "int64", "amount": "float64"}
    with streams.stream(schema=schema) as stream:
        stream.wait_until_done()
        assert [letter.reason.split(": ", 1)[1] for letter in stream.dead_letters()] == [
            "column 'card' must be int64, got 'x'"
        ]
    assert [(one["card"], one["n"]) for one in streams.answers()] == [(7, 1)]


def test_consumers_follow_each_other_without_a_gap(streams):
    """Two at once, then one leaves: the place is handed over, and each event counted once."""
    one, two = streams.stream(), streams.stream()
    streams.write(*({"card": "a", "amount": "1"} for _ in range(50)))
    one.wait_until_done()
    one.close()
    streams.write(*({"card": "a", "amount": "1"} for _ in range(50)))
    two.wait_until_done()
    two.close()
    assert [one["n"] for one in streams.answers()] == list(range(1, 101))


def test_a_queue_of_a_served_graph_is_worked_through(streams):
    from eagleray.graphs.flows.compile import compiled
    from eagleray.graphs.flows.event import Batch, Event
    from eagleray.graphs.streams.graph_stream import Behind, GraphStream

    g = Graph(f"q{streams.name[:20]}")
    g.to(g.queue("later", by="card", partitions=2)).to(refuse_none)
    g.to(g.state(count, key="card", name="count")).respond("n")
    with compiled(g.name, g.steps, settings=streams.settings) as front:
        for number in range(20):
            events = [Event({"card": "ab"[number % 2], "amount": 1}, str(number))]
            assert front.flow.run(Batch(events)) == [{"id": str(number), "n": None, "queued": True}]
        front.flow.run(Batch([Event({"card": "a", "amount": "none"}, "bad")]))
    with pytest.raises(NotFoundError, match="no queue 'latr'; did you mean 'later'"):
        GraphStream.of_queue(Behind(g.name, g.steps, "latr"), settings=streams.settings)
    with GraphStream.of_queue(Behind(g.name, g.steps, "later"), settings=streams.settings) as stream:
        stream.wait_until_done()
        row = json.loads(stream.dead_letters()[0].row)
        assert (row["id"], row["body"]) == ("bad", {"card": "a", "amount": "none"})
        assert stream.status().waiting == 0
        assert stream.events == 21
    with compiled(g.name, g.steps[1:], settings=streams.settings) as behind:
        assert behind.flow.run(Batch([Event({"card": "a", "amount": 1}, "x")]))[0]["n"] == 11
