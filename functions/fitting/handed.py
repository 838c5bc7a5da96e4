"""What a table that is handed over tells about itself, beside its rows: a feature store's training set tells most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@runtime_checkable
class TellingTable(Protocol):
    """A training set, as the feature store joins it."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that are features."""
        ...

    @property
    def pins(self) -> Mapping[str, int]:
        """The version of the offline table that was read, by feature set version."""
        ...

    @property
    def vector(self) -> str:
        """The name of the vector whose features these are."""
        ...


@dataclass(frozen=True, slots=True)
class Handed:
    """`features` None: every column may be one."""

    features: tuple[str, ...] | None = None
    vector: str = ""
    pins: Mapping[str, int] = field(default_factory=dict)

    def beside(self, columns: Sequence[str], needed: Sequence[str]) -> tuple[str, ...]:
        """The columns that are no features, for serving will not have them; without those `needed` for other things."""
        if self.features is None:
            return ()
        return tuple(name for name in columns if name not in self.features and name not in needed)


def handed(table: object) -> Handed:
    """What the table tells; nothing for a plain frame."""
    if not isinstance(table, TellingTable):
        return Handed()
    return Handed(tuple(table.feature_names), table.vector, dict(table.pins))
