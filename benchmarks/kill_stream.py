"""Kills stream workers and the Valkey server at random moments and counts what was lost or counted twice.

Two worker processes share a feature set's partitions while events are pushed. Kills are SIGKILL of a worker, SIGSTOP of
a worker for longer than its leases last (a zombie comes back to find that others have its partitions), and SIGKILL of
the server, which its guardian starts again from the append-only file. In the end the online values must be equal, as
bytes, to those of the same events worked through in memory without a break, and the offline table must hold each once.
With `--source` another program writes the events to a Redis stream, and the workers take them over from there.
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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import redis

from eagleray import Aggregate, Entity, FeatureSet, FeatureStore
from eagleray.featurestore.definitions.catalog import AppliedSet
from eagleray.featurestore.definitions.entity import frame_keys
from eagleray.featurestore.events.log import MemoryLog
from eagleray.featurestore.offline.offline import OFFSET, PARTITION, MemoryOfflineStore
from eagleray.featurestore.online.online import MemoryOnlineStore
from eagleray.featurestore.streams.ingest import accept, by_partition
from eagleray.featurestore.streams.worker import Stores, Worker
from eagleray.runtime import redis_client, valkey_server
from eagleray.runtime.errors import EaglerayError
from eagleray.runtime.settings import Settings

SOURCE = "payments"
KINDS = ("worker", "zombie", "server")
LEASE_S = 0.6
ROWS_A_PUSH, KEYS = 40, 300
BEGIN_US = 1_700_000_000_000_000
FAR_FUTURE_US = 2**60


def payments() -> FeatureSet:
    aggregates = [Aggregate("amount", ["count", "sum", "max"], ["1h", "1d"])]
    return FeatureSet("payments", [Entity("card", "int64")], "ts", {"amount": "float64"}, aggregates)


def source_address(settings: Settings) -> str:
    return f"{valkey_server.ensure(settings.home).url}/{SOURCE}"


def run_worker(*, sourced: bool) -> int:
    """A worker process: streams until it is killed or its standard input closes."""
    store = FeatureStore()
    source = source_address(store.settings) if sourced else None
    with store, store.stream(payments(), source=source, lease_s=LEASE_S):
        print("streaming", flush=True)
        sys.stdin.read()
    return 0


@dataclass
class Crowd:
    """Worker processes that are started again as they are killed."""

    home: Path
    sourced: bool = False
    size: int = 2
    members: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ready: set[int] = field(default_factory=set)

    def fill(self) -> None:
        while len(self.members) < self.size:
            command = [sys.executable, __file__, "--worker", *(["--source"] if self.sourced else [])]
            environment = os.environ | {"EAGLERAY_HOME": str(self.home)}
            self.members.append(
                subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )

    def kill(self, rng: random.Random) -> None:
        victim = self.at_work(rng)
        self.members.remove(victim)
        victim.kill()
        victim.communicate()
        self.fill()

    def at_work(self, rng: random.Random) -> subprocess.Popen[bytes]:
        """One that has begun to stream: what is killed before that proves little."""
        chosen = rng.choice(self.members)
        if chosen.pid not in self.ready:
            assert chosen.stdout is not None
            assert chosen.stdout.readline() == b"streaming\n"
            self.ready.add(chosen.pid)
        return chosen

    def freeze(self, rng: random.Random) -> None:
        victim = self.at_work(rng)
        victim.send_signal(signal.SIGSTOP)
        time.sleep(2 * LEASE_S)
        victim.send_signal(signal.SIGCONT)

    def end(self) -> None:
        for member in self.members:
            member.communicate(timeout=60)  # it ends when its standard input does


def kill_server(settings: Settings) -> None:
    with redis_client.connect(settings, retries=redis_client.RESTART_RETRIES) as client:
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)


def some_rows(number: int) -> pl.DataFrame:
    rng = random.Random(number)
    return pl.DataFrame(
        {
            "card": [rng.randrange(KEYS) for _ in range(ROWS_A_PUSH)],
            "ts": [BEGIN_US + number * 50_000_000 - rng.randrange(90_000_000) for _ in range(ROWS_A_PUSH)],
            "amount": [round(rng.lognormvariate(3, 1), 2) for _ in range(ROWS_A_PUSH)],
        }
    )


def push(store: FeatureStore, feature_set: FeatureSet, number: int) -> pl.DataFrame:
    """One push, repeated until it is known to have arrived."""
    rows = some_rows(number)
    while True:
        try:
            store.push(feature_set, rows, once=f"push-{number}")
        except EaglerayError:
            time.sleep(0.05)
        else:
            return rows


def write(client: redis_client.Client, number: int) -> pl.DataFrame:
    """The same as entries of a stream, by a program that knows nothing of us; repeated until they have arrived."""
    rows = some_rows(number)
    for place, row in enumerate(rows.iter_rows(named=True)):
        fields: dict[Any, Any] = row
        while True:
            try:
                client.xadd(SOURCE, fields, id=f"{number + 1}-{place}")
            except redis.exceptions.ConnectionError:
                time.sleep(0.05)
            except redis.exceptions.ResponseError as error:
                if "equal or smaller" not in str(error):  # it had arrived after all
                    raise
                break
            else:
                break
    return rows


def uninterrupted(feature_set: FeatureSet, applied: AppliedSet, pushes: list[pl.DataFrame]) -> Stores:
    """The same events in memory."""
    stores = Stores(online=MemoryOnlineStore(), offline=MemoryOfflineStore(), log=MemoryLog(4))
    for rows in pushes:
        accepted = accept(feature_set, rows, now_us=FAR_FUTURE_US)
        stores.log.append(by_partition(feature_set, accepted.frame, 4))
    worker = Worker(feature_set, applied, stores)
    worker.drain()
    worker.save()
    return stores


def compare(store: FeatureStore, feature_set: FeatureSet, pushes: list[pl.DataFrame]) -> dict[str, int]:
    """What differs from the uninterrupted run."""
    applied = store.get(feature_set.name)
    expected = uninterrupted(feature_set, applied, pushes)
    cards = pl.DataFrame({"card": range(KEYS)})
    keys = [applied.online_key(key) for key in frame_keys(applied.entities, cards).to_list()]
    ours, theirs = store._online.read(keys), expected.online.read(keys)
    wanted = [PARTITION, OFFSET, "card", "ts", "amount"]
    stored = store._offline.read(applied.full_name, wanted).sort(PARTITION, OFFSET)
    whole = expected.offline.read(applied.full_name, wanted).sort(PARTITION, OFFSET)
    places = stored.select(PARTITION, OFFSET)
    return {
        "events": sum(rows.height for rows in pushes),
        "online_values_that_differ": sum(one != other for one, other in zip(ours, theirs, strict=True)),
        "offline_lost": whole.join(stored, on=wanted, how="anti").height,
        "offline_twice": places.height - places.unique().height,
        "offline_foreign": stored.join(whole, on=wanted, how="anti").height,
        "dead_letters": len(store.dead_letters(feature_set.name)),
    }


def run(kills: dict[str, int], *, seed: int, pause_s: float, sourced: bool) -> dict[str, object]:
    """Pushes while it kills; the counts."""
    rng = random.Random(seed)
    plan = [kind for kind, count in kills.items() for _ in range(count)]
    rng.shuffle(plan)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="er-kill-") as folder:
        settings = Settings(home=Path(folder))
        feature_set, crowd = payments(), Crowd(settings.home, sourced=sourced)
        acts: dict[str, Callable[[], None]] = {
            "worker": lambda: crowd.kill(rng),
            "zombie": lambda: crowd.freeze(rng),
            "server": lambda: kill_server(settings),
        }
        with FeatureStore(settings) as store, redis_client.connect(settings) as client:
            applied = store.apply(feature_set)

            def give(number: int) -> pl.DataFrame:
                return write(client, number) if sourced else push(store, feature_set, number)

            crowd.fill()
            pushes = [give(0)]
            for kind in plan:
                until = time.monotonic() + rng.uniform(0.2, 1.0) * pause_s
                while time.monotonic() < until:
                    pushes.append(give(len(pushes)))
                acts[kind]()
                pushes.append(give(len(pushes)))
            crowd.end()
            events, deadline = sum(rows.height for rows in pushes), time.monotonic() + 60
            # What the killed ones left in the log, and in the source.
            with store.stream(feature_set, source=source_address(settings) if sourced else None, lease_s=LEASE_S):
                while sourced and sum(store.streams.log(applied).ends().values()) + 4 < events:
                    assert time.monotonic() < deadline, "the source was not taken over"
                    time.sleep(0.05)
            counts = compare(store, feature_set, pushes)
    return {"kills": kills, "source": sourced, "seconds": round(time.monotonic() - began, 1), **counts}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each kind")
    parser.add_argument("--only", choices=KINDS, action="append", help="this kind (repeatable)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between kills, at most")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--source", action="store_true", help="events come from a stream of another program's")
    given = parser.parse_args()
    if given.worker:
        return run_worker(sourced=given.source)
    found = run(
        dict.fromkeys(given.only or KINDS, given.kills), seed=given.seed, pause_s=given.pause, sourced=given.source
    )
    print(json.dumps(found) if given.json else "\n".join(f"{name}: {value}" for name, value in found.items()))
    wrong = ("online_values_that_differ", "offline_lost", "offline_twice", "offline_foreign", "dead_letters")
    return 1 if any(found[name] for name in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
