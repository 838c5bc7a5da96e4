"""Audit: what serving answered is computed again from the offline tables, and a single wrong bit is found."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.offline.audit import Audit
from eagleray.featurestore.offline.vector_log import vectors_table
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime.errors import DefinitionError
from eagleray.runtime.settings import Settings

CARDS = FeatureSet(
    "cards",
    [Entity("card")],
    "ts",
    {"amount": "float64", "shop": "string", "tags": "list[string]"},
    [
        Aggregate("amount", ["count", "sum", "stddev", "max", "last_3", "p50"], ["1m", "1h"]),
        Aggregate("shop", ["distinct", "last"], ["1h"]),
    ],
    features=["amount", "shop", "tags"],
    ttl="1h",
)
PAIRS = FeatureSet("pairs", [Entity("shop_id", "int64"), Entity("card")], "ts", {"seen": "timestamp"})
VECTOR = FeatureVector("v", ["cards:*", "pairs:seen"])


@pytest.fixture
def store(valkey: Settings, tmp_path: Path) -> Iterator[FeatureStore]:
    """A store on the shared server with a catalog and tables of its own."""
    catalog = f"sqlite:///{tmp_path / 'catalog.db'}"
    with FeatureStore(Settings(home=valkey.home, offline_uri=str(tmp_path / "offline"), catalog_url=catalog)) as opened:
        opened.apply(CARDS)
        opened.apply(PAIRS)
        yield opened


def feed(store: FeatureStore, rng: np.random.Generator, *, wait: bool = True) -> None:
    """Events of the last hour, in any order: most are late."""
    now_us = time.time_ns() // 1000
    rows = [
        {
            "card": f"c{rng.integers(5)}",
            "ts": now_us - int(rng.integers(0, 3_700_000_000)),
            "amount": float(rng.choice([0.1, -0.0, float("nan"), 1e9, 7.5])),
            "shop": str(rng.choice(["é|", "", "x"])),
            "tags": [["a", None], [], None][rng.integers(3)],
        }
        for _ in range(30)
    ]
    store.push(CARDS, rows, wait=wait)
    pairs = [{"shop_id": 1, "card": row["card"], "ts": row["ts"], "seen": row["ts"]} for row in rows]
    store.push(PAIRS, pairs, wait=wait)


ASKED = [{"card": f"c{place}", "shop_id": 1} for place in range(6)]


def test_every_answer_is_computed_again_while_late_events_come_in(store: FeatureStore) -> None:
    rng = np.random.default_rng(11)
    reader = store.vector_reader(VECTOR, log_sample=1.0)
    for _ in range(6):
        feed(store, rng)
        reader.frame(ASKED)
    audit = store.audit()
    assert (audit.checked, audit.equal, audit.different, audit.not_yet_offline) == (72, 72, 0, 0)
    assert audit.passed
    feed(store, rng)
    assert store.audit(most=10).checked == 10


def test_what_is_not_yet_offline_is_told_apart(store: FeatureStore) -> None:
    rng = np.random.default_rng(12)
    reader = store.vector_reader(VECTOR, log_sample=1.0)
    feed(store, rng)
    with store.stream(CARDS) as stream:
        feed(store, rng)
        stream._saved_at = time.monotonic() + 3600  # it saves when it closes
        feed(store, rng)
        reader.get(ASKED)
        meanwhile = store.audit()
        assert meanwhile.checked + meanwhile.not_yet_offline == 12
        assert meanwhile.not_yet_offline > 0
        assert meanwhile.passed
    later = store.audit()
    assert (later.checked, later.equal) == (12, 12)


def test_one_wrong_bit_is_found_and_shown(store: FeatureStore) -> None:
    feed(store, np.random.default_rng(13))
    reader = store.vector_reader(VECTOR, log_sample=1.0)
    reader.get([ASKED[0]])
    assert store.audit().passed
    table = vectors_table(store.get("cards").namespace)
    row = store._offline.read(table, ["*"], where=pl.col("set") == "cards.v1")
    answered = json.loads(row["answered"][0])
    answered[1] = float(np.nextafter(answered[1], 1e300))
    store._offline.append(table, row.with_columns(answered=pl.lit(json.dumps(answered))), last_offsets={})
    audit = store.audit()
    assert (audit.checked, audit.equal, audit.different) == (3, 2, 1)
    (difference,) = audit.differences
    assert difference["set"] == "cards.v1"
    assert difference["entities"] == {"card": "c0"}
    assert isinstance(difference["features"], dict)
    assert len(difference["features"]) == 1


def test_a_share_is_kept_and_the_rest_is_not(store: FeatureStore) -> None:
    reader = store.vector_reader(VECTOR, log_sample=0.2)
    for _ in range(500):
        reader.get([ASKED[0]])
    assert 50 * 2 < store.audit().checked < 160 * 2
    assert store.audit() == store.audit()


def test_a_vector_says_itself_what_is_kept(store: FeatureStore) -> None:
    kept = FeatureVector("kept", ["cards:*"], log_sample=1.0)
    for _ in range(3):
        store.get_online_features(kept, ASKED)
        store.vector_reader(kept, log_sample=0.0).get(ASKED)
    assert store.audit().checked == 18
    assert len(store._vector_logs._logs) == 1
    with pytest.raises(DefinitionError, match="log_sample=2 is no share"):
        FeatureVector("v", ["cards:*"], log_sample=2)


def test_nothing_logged_is_nothing_checked(store: FeatureStore) -> None:
    store.vector_reader(VECTOR).get(ASKED)
    assert store.audit() == Audit()
    assert store.audit().to_dict()["differences"] == ()


def test_logged_vectors_of_an_erased_entity_go_with_it(store: FeatureStore) -> None:
    feed(store, np.random.default_rng(14))
    store.vector_reader(VECTOR, log_sample=1.0).get(ASKED)
    records = store.erase(None, {"card": "c1"}, reason="request")
    assert [record.vectors for record in records] == [1, 1]
    assert (store.audit().checked, store.audit().different) == (10, 0)


def test_answers_that_waited_elsewhere_while_an_entity_was_erased_go_without_it(store: FeatureStore) -> None:
    feed(store, np.random.default_rng(15))
    with FeatureStore(store.settings) as elsewhere:
        elsewhere.vector_reader(VECTOR, log_sample=1.0).get(ASKED)
        store.erase(None, {"card": "c1"}, reason="request")
    audit = store.audit()
    assert (audit.checked, audit.different) == (10, 0)
    table = vectors_table(store.get("cards").namespace)
    assert '"c1"' not in store._offline.read(table, ["entities"]).write_json()


def test_a_disk_that_is_full_keeps_what_waits(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from eagleray.runtime.errors import StorageError

    reader = store.vector_reader(VECTOR, log_sample=1.0)
    reader.get(ASKED)

    def full(*_: object, **__: object) -> None:
        raise StorageError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(type(store._offline), "append", full)
        with pytest.raises(StorageError, match="no space"):
            store.audit()
    assert store.audit().checked == 12
