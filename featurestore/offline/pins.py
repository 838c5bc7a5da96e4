"""Pins: which version of each feature set, and how much of its log, a training set was made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...runtime.errors import InputError, PinNotFound
from ..definitions.catalog import AppliedSet
from .offline import OfflineStore

if TYPE_CHECKING:
    from ...runtime.sql_catalog import Catalog

KIND = "pin"


@dataclass(frozen=True, slots=True)
class Cut:
    """A moment of one offline table: its version, and the last offset it held of each partition.

    The log only grows at its ends, so the offsets alone bring a version's rows back, however the table's files
    were merged or removed since. What was erased for good is gone from every version.
    """

    version: int
    offsets: dict[int, int]

    @classmethod
    def now(cls, applied: AppliedSet, offline: OfflineStore) -> Cut:
        """The table as it is; a commit that comes between the two questions is left out."""
        version = offline.version(applied.full_name)
        return cls(version, {} if version < 0 else offline.offsets(applied.full_name, version))


class PinBook:
    """Remembers the offsets behind every pin that was given out, beyond the time that a table's own log reaches."""

    def __init__(self, catalog: Catalog, offline: OfflineStore) -> None:
        self._catalog = catalog
        self._offline = offline

    def taken(self, applied: AppliedSet) -> Cut:
        """Now, remembered."""
        cut = Cut.now(applied, self._offline)
        name = _name(applied, cut.version)
        if cut.version >= 0 and self._catalog.active(KIND, name) is None:
            body = {"offsets": {str(partition): offset for partition, offset in cut.offsets.items()}}
            self._catalog.put(KIND, name, content_hash="", body=body)
        return cut

    def found(self, applied: AppliedSet, version: int) -> Cut:
        """What a pin stands for; raises `PinNotFound`."""
        if version < 0:
            return Cut(version, {})
        noted = self._catalog.active(KIND, _name(applied, version))
        if noted is None:
            return Cut(version, self._offline.offsets(applied.full_name, version))
        return Cut(version, {int(partition): offset for partition, offset in noted.body["offsets"].items()})


def pinned_set(name: str, pins: Mapping[str, int], versions: Callable[[str], list[AppliedSet]]) -> AppliedSet:
    """The version of the feature set that the pins name, whichever is active; raises `InputError`, `PinNotFound`."""
    labels = [label for label in pins if label.rpartition(".v")[0] == name]
    if len(labels) != 1:
        known = ", ".join(pins) or "nothing"
        raise InputError(f"the pins name {known}, not one version of {name!r}; pass a training set's own .pins")
    for applied in versions(name):
        if applied.label == labels[0]:
            return applied
    raise PinNotFound(f"no {labels[0]} in this store; read the training set from the store that made its pins")


def _name(applied: AppliedSet, version: int) -> str:
    return f"{applied.full_name}@{version}"
