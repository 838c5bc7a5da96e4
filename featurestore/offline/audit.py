"""Audit: logged vectors computed again from the offline tables, and compared bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import polars as pl

from ..definitions.catalog import AppliedSet
from ..definitions.entity import frame_keys
from ..definitions.feature_vector import FeatureRef
from ..definitions.schema import conform
from ..definitions.wanted import Wanted
from ..events.log import partition_of
from ..state.columns import listed
from .offline import OFFSET, OfflineStore
from .set_join import Bound, Questions, set_columns
from .vector_log import told, vectors_table

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Audit:
    """How many logged vectors were checked, one a feature set and row, and what came out; the first differences."""

    checked: int = 0
    equal: int = 0
    different: int = 0
    not_yet_offline: int = 0
    differences: tuple[dict[str, object], ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return self.different == 0

    def to_dict(self) -> dict[str, object]:
        """In plain JSON types."""
        return asdict(self)

    def __add__(self, other: Audit) -> Audit:
        return Audit(
            self.checked + other.checked,
            self.equal + other.equal,
            self.different + other.different,
            self.not_yet_offline + other.not_yet_offline,
            (self.differences + other.differences)[:SHOWN],
        )


@dataclass(frozen=True, slots=True)
class Auditor:
    """Audits one store: `version` gives a feature set version by its label, `partitions` those of its log."""

    namespace: str
    offline: OfflineStore
    version: Callable[[str], AppliedSet]
    partitions: Callable[[AppliedSet], int]

    def audit(self, *, since_us: int | None = None, most: int | None = None) -> Audit:
        """The logged vectors from a moment on, the newest `most` of them."""
        table = vectors_table(self.namespace)
        if self.offline.version(table) < 0:
            return Audit()
        columns = ["vector", "set", "entities", "features", "answered", "q_us", "seen", "logged"]
        logged = self.offline.read(table, columns, from_us=None if since_us is None else ("logged", since_us))
        logged = logged.sort("logged")
        logged = logged if most is None else logged.tail(most)
        done = Audit()
        for (label, features), rows in logged.group_by(["set", "features"], maintain_order=True):
            done += self._checked(self.version(str(label)), json.loads(str(features)), rows)
        return done

    def _checked(self, applied: AppliedSet, features: list[str], rows: pl.DataFrame) -> Audit:
        types = {entity.name: entity.dtype for entity in applied.entities}
        frame = conform([json.loads(text) for text in rows["entities"].to_list()], types, owner="logged vectors")
        # Every event that an answer had seen must be in the table before it can be computed again.
        stored = self.offline.offsets(applied.full_name) if self.offline.version(applied.full_name) >= 0 else {}
        count = self.partitions(applied)
        homes = [partition_of(key, count) for key in frame_keys(applied.entities, frame).to_list()]
        seen = rows["seen"].to_numpy()
        here = np.flatnonzero(seen <= np.array([stored.get(home, -1) for home in homes], dtype=np.int64))
        rows, frame = rows[here], frame[here]
        asked = Questions(frame, rows["q_us"].to_numpy(), Bound(OFFSET, seen[here] + 1))
        wanted = Wanted(applied, tuple(FeatureRef(applied.name, name) for name in features))
        made = set_columns(wanted, asked, self.offline.read)
        computed = [listed(made[ref.column], applied.feature_types[ref.feature]) for ref in wanted.refs]
        texts = [told(list(row)) for row in zip(*computed, strict=True)]
        differ = [place for place, text in enumerate(texts) if text != rows["answered"][place]]
        shown = tuple(_difference(rows.row(place, named=True), texts[place], features) for place in differ[:SHOWN])
        return Audit(
            checked=len(texts),
            equal=len(texts) - len(differ),
            different=len(differ),
            not_yet_offline=len(homes) - len(texts),
            differences=shown,
        )


def _difference(row: dict[str, object], computed: str, features: list[str]) -> dict[str, object]:
    pairs = zip(features, json.loads(str(row["answered"])), json.loads(computed), strict=True)
    values = {name: {"answered": one, "computed": two} for name, one, two in pairs if told(one) != told(two)}
    told_of = {name: row[name] for name in ("vector", "set", "q_us", "seen")}
    return {**told_of, "entities": json.loads(str(row["entities"])), "features": values}
