"""Erasures: the record that an entity was erased, and what keeps it from coming back."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..definitions.entity import Entity, frame_keys, row_key

if TYPE_CHECKING:
    from ...runtime.sql_catalog import Catalog

KIND = "erasure"


@dataclass(frozen=True, slots=True)
class Erasure:
    """That one entity was erased from every version of a feature set: who, when, why and how much, but not which.

    `entity_hash` is keyed with a secret of the store's catalog: it tells whether a given entity was erased.
    """

    feature_set: str
    columns: tuple[str, ...]  # the entity columns that named it
    entity_hash: str
    at_us: int
    by: str
    reason: str
    done: bool = False  # a record that never became done: erase again, the first attempt broke off
    events: int = 0  # rows of the offline tables
    online: int = 0  # stored values
    logged: int = 0  # events that waited in the log
    letters: int = 0  # dead letters
    vectors: int = 0  # rows of logged vectors


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased from one feature set; events of those entities from before do not count when they come again."""

    salt: bytes = b""
    erasures: tuple[Erasure, ...] = ()

    def kept(self, frame: pl.DataFrame, entities: Sequence[Entity], timestamp: str) -> NDArray[np.bool_] | None:
        """Which rows count, None for all of them: not those blanked in the log, nor replays of what was erased."""
        if not self.erasures and not frame[entities[0].name].null_count():
            return None
        kept = frame[entities[0].name].is_not_null().to_numpy(writable=True)
        for erasure in self.erasures:
            before = frame.select(pl.col(timestamp).dt.epoch("us") <= erasure.at_us).to_series().fill_null(False)
            suspects = np.flatnonzero(kept & before.to_numpy())
            if not len(suspects):
                continue  # as good as always: what comes after an erasure is new
            named = [entity for entity in entities if entity.name in erasure.columns]
            keys = frame_keys(named, frame[suspects])
            hashes = {key: entity_hash(self.salt, key) for key in keys.unique().to_list()}
            kept[suspects] = [hashes[key] != erasure.entity_hash for key in keys.to_list()]
        return kept


NOTHING_ERASED = Erased()


class ErasureBook:
    """The catalog's record of erasures."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def note(self, erasure: Erasure) -> Erasure:
        """Writes it down, begun or done."""
        body = asdict(erasure) | {"columns": list(erasure.columns)}
        told = hashlib.sha256(repr(sorted(body.items())).encode()).hexdigest()
        self._catalog.put(KIND, erasure.feature_set, content_hash=told, body=body)
        return erasure

    def all_of(self, feature_set: str) -> list[Erasure]:
        """Every erasure of the set, begun ones that were done since as done, the first one first."""
        latest: dict[tuple[str, int], Erasure] = {}
        for document in self._catalog.versions(KIND, feature_set):
            found = Erasure(**{**document.body, "columns": tuple(document.body["columns"])})
            latest[found.entity_hash, found.at_us] = found
        return list(latest.values())

    def erased(self, feature_set: str) -> Erased:
        """What must not come back to the set."""
        found = self.all_of(feature_set)
        return Erased(self.salt(), tuple(found)) if found else Erased()

    def hash_of(self, entities: Sequence[Entity], entity: Mapping[str, object], *, owner: str) -> str:
        """The hash under which an entity's erasure is noted; raises `InputError` for an ill-typed value."""
        return entity_hash(self.salt(), row_key(entities, entity, owner=owner))

    def salt(self) -> bytes:
        """The store's secret, drawn once."""
        known = self._catalog.active("store", "erasure salt")
        drawn = {"salt": secrets.token_hex(32)}
        document = known or self._catalog.put("store", "erasure salt", content_hash="", body=drawn)
        return bytes.fromhex(str(document.body["salt"]))


def entity_hash(salt: bytes, key: str) -> str:
    """The keyed hash of an entity's canonical key."""
    return hmac.new(salt, key.encode(), hashlib.sha256).hexdigest()
