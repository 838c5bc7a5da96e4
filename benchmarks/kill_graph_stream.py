"""Kills workers of a graph's stream, has some sleep past their lease, kills the server; then counts what became of each
event.

    python benchmarks/kill_graph_stream.py --kills 20 --json
    python benchmarks/kill_graph_stream.py --kills 20 --queue --json       # a queue inside a graph instead of a source

The graph counts events by card in a state step, refuses some events, and answers into a stream. Right is: every event
answered once or put aside once, and the counts of each card are 1, 2, 3 ... without a gap.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from eagleray import Graph, Settings
from eagleray.graphs.flows.compile import compiled
from eagleray.graphs.flows.event import Batch, Event, Origin
from eagleray.graphs.streams.graph_stream import GraphStream, StreamOptions
from eagleray.graphs.streams.opened import open_queue
from eagleray.graphs.streams.redis_answers import open_answers
from eagleray.runtime import redis_client, valkey_server
from eagleray.runtime.errors import EaglerayError
from eagleray.runtime.retries import Retries

SOURCE, ANSWERS, KINDS = "orders", "answers", ("worker", "zombie", "server")
LEASE_S, CARDS, EVENTS_A_ROUND, BAD_EVERY = 0.6, 20, 25, 41
ONCE = Retries(1, on=(Exception,), backoff_s=0.01)


def count(state: dict[str, Any], body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    n = state.get("n", 0) + 1
    return {"n": n}, {**body, "n": n}


def refuse(body: dict[str, Any]) -> None:
    if int(body["number"]) % BAD_EVERY == 0:
        raise ValueError("refused")


def orders(*, queued: bool) -> Graph:
    g = Graph("orders")
    if queued:
        g.to(g.queue("tail", by="card", retries=ONCE))
    return g.to(refuse).to(g.state(count, key="card", name="count")).respond("card", "n", "number")


def stream(settings: Settings, *, queued: bool) -> GraphStream:
    graph = orders(queued=queued)
    if not queued:
        address = f"{valkey_server.ensure(settings.home).url}/{SOURCE}"
        options = StreamOptions(answers=ANSWERS, retries=ONCE, lease_s=LEASE_S)
        return GraphStream.of_source(graph, address, store=None, settings=settings, options=options)
    steps = graph.steps
    made = compiled(graph.name, steps[1:], settings=settings)
    opened = open_queue(settings, graph.name, steps, "tail")
    answers = open_answers(ANSWERS, settings)
    return GraphStream(opened, made, retries=ONCE, answers=answers, ttl_ms=round(1000 * LEASE_S))


def run_worker(*, queued: bool) -> int:
    """A worker process: streams until it is killed or its standard input closes."""
    settings = Settings.from_env()
    while True:
        try:
            with stream(settings, queued=queued):
                print("streaming", flush=True)
                sys.stdin.read()
                return 0
        except EaglerayError:  # the server was killed just now
            time.sleep(0.05)


@dataclass
class Crowd:
    """Worker processes that are started again as they are killed."""

    home: Path
    queued: bool
    size: int = 2
    members: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ready: set[int] = field(default_factory=set)

    def fill(self) -> None:
        while len(self.members) < self.size:
            command = [sys.executable, __file__, "--worker", *(["--queue"] if self.queued else [])]
            environment = os.environ | {"EAGLERAY_HOME": str(self.home)}
            self.members.append(
                subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )

    def one(self, rng: random.Random) -> subprocess.Popen[bytes]:
        """One that has begun to stream: what is killed before that proves little."""
        chosen = rng.choice(self.members)
        if chosen.pid not in self.ready:
            assert chosen.stdout is not None
            assert chosen.stdout.readline() == b"streaming\n"
            self.ready.add(chosen.pid)
        return chosen

    def kill(self, rng: random.Random) -> None:
        victim = self.one(rng)
        self.members.remove(victim)
        victim.kill()
        victim.communicate()
        self.fill()

    def freeze(self, rng: random.Random) -> None:
        victim = self.one(rng)
        victim.send_signal(signal.SIGSTOP)
        time.sleep(2 * LEASE_S)
        victim.send_signal(signal.SIGCONT)

    def end(self) -> None:
        for member in self.members:
            member.communicate(timeout=60)


class Giver:
    """Adds events until each is known to have arrived, once."""

    def __init__(self, settings: Settings, *, queued: bool) -> None:
        self.client = redis_client.connect(settings)
        self.front = compiled("orders", orders(queued=True).steps, settings=settings) if queued else None
        self.rng = random.Random(1)
        self.cards: list[int] = []

    def give(self) -> None:
        for _ in range(EVENTS_A_ROUND):
            number = len(self.cards)
            self.cards.append(self.rng.randrange(CARDS))
            while not (self._queue(number) if self.front is not None else self._write(number)):
                time.sleep(0.05)

    def _body(self, number: int) -> dict[Any, Any]:
        return {"id": f"e{number}", "card": f"c{self.cards[number]}", "number": str(number)}

    def _queue(self, number: int) -> bool:
        assert self.front is not None
        event = Event(self._body(number), f"e{number}")
        event.origin = Origin("giver", number, -1)  # so that it is queued once however often it is tried
        return not isinstance(self.front.flow.run_together([Batch([event])])[0], Exception)

    def _write(self, number: int) -> bool:
        try:
            self.client.xadd(SOURCE, self._body(number), id=f"{number + 1}-0")
        except redis.exceptions.ConnectionError:
            return False
        except redis.exceptions.ResponseError as error:
            if "equal or smaller" not in str(error):  # it had arrived after all
                raise
        return True


def counted(settings: Settings, cards: list[int], letters: list[str]) -> dict[str, Any]:
    """What became of each event."""
    with redis_client.connect(settings, retries=redis_client.RESTART_RETRIES) as client:
        entries: Any = client.xrange(ANSWERS)
        answers = [json.loads(fields[b"answer"]) for _, fields in entries]
    good = {f"e{number}" for number in range(len(cards)) if number % BAD_EVERY}
    bad = {f"e{number}" for number in range(len(cards))} - good
    times, buried = Counter(answer["id"] for answer in answers), Counter(letters)
    wanted = Counter(card for number, card in enumerate(cards) if number % BAD_EVERY)
    given = {card: sorted(a["n"] for a in answers if a["card"] == f"c{card}") for card in wanted}
    return {
        "events": len(cards),
        "lost": len(good - times.keys()) + len(bad - buried.keys()),
        "answered_twice": sum(number > 1 for number in times.values()),
        "buried_twice": sum(number > 1 for number in buried.values()),
        "buried_wrongly": len(buried.keys() - bad),
        "cards_miscounted": sum(given[card] != list(range(1, number + 1)) for card, number in wanted.items()),
    }


def run(kills: dict[str, int], *, seed: int, pause_s: float, queued: bool) -> dict[str, Any]:
    """Gives events while it kills; the counts."""
    rng = random.Random(seed)
    plan = [kind for kind, number in kills.items() for _ in range(number)]
    rng.shuffle(plan)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="er-kill-") as folder:
        settings = Settings(home=Path(folder))
        crowd, giver = Crowd(settings.home, queued), Giver(settings, queued=queued)
        crowd.fill()
        giver.give()
        for kind in plan:
            until = time.monotonic() + rng.uniform(0.2, 1.0) * pause_s
            while time.monotonic() < until:
                giver.give()
            if kind == "worker":
                crowd.kill(rng)
            elif kind == "zombie":
                crowd.freeze(rng)
            else:
                with redis_client.connect(settings, retries=redis_client.RESTART_RETRIES) as client:
                    os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
            giver.give()
        crowd.end()
        with stream(settings, queued=queued) as last:
            last.wait_until_done(timeout_s=120)
            letters = [json.loads(letter.row)["id"] for letter in last.dead_letters(most=100_000)]
        found = counted(settings, giver.cards, letters)
        if giver.front is not None:
            giver.front.close()
        giver.client.close()
    return {"kills": kills, "queue": queued, "seconds": round(time.monotonic() - began, 1), **found}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each kind")
    parser.add_argument("--only", choices=KINDS, action="append", help="this kind (repeatable)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between kills, at most")
    parser.add_argument("--queue", action="store_true", help="a queue inside a graph instead of a source")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        return run_worker(queued=given.queue)
    kills = dict.fromkeys(given.only or KINDS, given.kills)
    found = run(kills, seed=given.seed, pause_s=given.pause, queued=given.queue)
    print(json.dumps(found) if given.json else "\n".join(f"{name}: {value}" for name, value in found.items()))
    wrong = ("lost", "answered_twice", "buried_twice", "buried_wrongly", "cards_miscounted")
    return 1 if any(found[name] for name in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
