"""Erasing an entity for good: from the log, the online store, every version of the offline tables, logged vectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from ...runtime.errors import FeatureSetNotFound, InputError, StorageError, did_you_mean
from ..definitions.catalog import AppliedSet
from ..definitions.entity import Entity, frame_keys, row_key
from ..events.log import EventLog
from ..events.membership import Membership
from ..online.online import OnlineStore
from .erasure import Erasure, ErasureBook
from .offline import OFFSET, PARTITION, OfflineStore
from .vector_log import vectors_table

LETTERS = 1_000_000  # more than a log keeps
ATTEMPTS = 5  # a worker that lost its lease may still be about to save what it had


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases from one store; `log_of` opens a version's log."""

    book: ErasureBook
    online: OnlineStore
    offline: OfflineStore
    log_of: Callable[[AppliedSet], EventLog]

    def erase(self, versions: Sequence[AppliedSet], entity: Mapping[str, object], record: Erasure) -> Erasure:
        """Erases the entity from these versions of one feature set; may be run again after it broke off."""
        self.book.note(record)
        for applied in versions:
            if set(entity) <= {known.name for known in applied.entities}:
                record = self._erased(applied, entity, record)
        return self.book.note(replace(record, done=True))

    def _erased(self, applied: AppliedSet, entity: Mapping[str, object], record: Erasure) -> Erasure:
        log, where = self.log_of(applied), pl.all_horizontal(pl.col(name) == value for name, value in entity.items())
        items = [str(partition) for partition in range(log.partitions)]
        # Streams pause meanwhile, and no worker can write to the online store what it read before.
        membership = Membership(self.online.leases, applied.full_name, items, joins=False)
        try:
            membership.take_all()
            waiting = log.blank(where)
            letters = [letter for letter in log.buried(most=LETTERS) if _is_of(letter.row, entity)]
            log.forget(letters)
            stored = self._rows(applied, where)
            keys = self._keys(applied, entity, [*waiting, stored])
            online = self.online.remove([applied.online_key(key) for key in keys])
            events = self._erase_rows(applied, where, stored)
        finally:
            membership.leave()
        return replace(
            record,
            events=record.events + events,
            online=record.online + online,
            logged=record.logged + sum(frame.height for frame in waiting),
            letters=record.letters + len(letters),
            vectors=record.vectors + self._erase_vectors(applied, entity),
        )

    def _rows(self, applied: AppliedSet, where: pl.Expr) -> pl.DataFrame:
        columns = [*(known.name for known in applied.entities), PARTITION, OFFSET]
        if self.offline.version(applied.full_name) < 0:
            return pl.DataFrame(schema=columns)
        return self.offline.read(applied.full_name, columns, where=where)

    def _erase_rows(self, applied: AppliedSet, where: pl.Expr, rows: pl.DataFrame) -> int:
        erased = 0
        for _ in range(ATTEMPTS):
            if not rows.height:
                return erased
            erased += self.offline.erase(applied.full_name, rows)
            rows = self._rows(applied, where)
        raise StorageError(f"{applied.label}: rows of the entity keep coming; stop what replays them, then erase again")

    def _keys(self, applied: AppliedSet, entity: Mapping[str, object], found: list[pl.DataFrame]) -> list[str]:
        names = [known.name for known in applied.entities]
        keys = {key for frame in found if frame.height for key in frame_keys(applied.entities, frame.select(names))}
        if set(entity) == set(names):
            keys.add(row_key(applied.entities, entity, owner=applied.name))
        return sorted(keys)

    def _erase_vectors(self, applied: AppliedSet, entity: Mapping[str, object]) -> int:
        table = vectors_table(applied.namespace)
        if self.offline.version(table) < 0:
            return 0
        columns = ["entities", PARTITION, OFFSET]
        rows = self.offline.read(table, columns, where=pl.col("set") == applied.label)
        ours = rows.filter(pl.Series([_is_of(row, entity) for row in rows["entities"].to_list()], dtype=pl.Boolean))
        return self.offline.erase(table, ours) if ours.height else 0


def named(entity: Mapping[str, object], applied: AppliedSet) -> tuple[Entity, ...]:
    """The set's entities that the mapping names; raises `InputError` for a name that is none of them."""
    if not entity:
        raise InputError("name the entity to erase, such as {'card_id': '7'}")
    known = {one.name: one for one in applied.entities}
    for name in entity:
        if name not in known:
            raise InputError(f"{applied.name} has no entity {name!r}{did_you_mean(name, known)}")
    return tuple(known[name] for name in entity)


def sets_with(entity: Mapping[str, object], sets: Sequence[AppliedSet]) -> list[AppliedSet]:
    """The sets that are about such an entity; raises `FeatureSetNotFound` when there is none."""
    found = [applied for applied in sets if set(entity) <= {one.name for one in applied.entities}]
    if not found:
        known = {one.name for applied in sets for one in applied.entities}
        name = next((name for name in entity if name not in known), ", ".join(entity))
        raise FeatureSetNotFound(f"no feature set is about {name!r}{did_you_mean(name, known)}")
    return found


def _is_of(row: str, entity: Mapping[str, object]) -> bool:
    found = json.loads(row)
    return all(found.get(name) == value for name, value in entity.items())
