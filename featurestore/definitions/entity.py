"""Entities: what features are about, and the canonical key of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from ...runtime.errors import DefinitionError, InputError


@dataclass(frozen=True, slots=True)
class Entity:
    """A column that names a thing, such as a card or a terminal; integers or strings."""

    name: str
    dtype: Literal["string", "int64"] = "string"

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise DefinitionError(f"entity {self.name!r}: use letters, digits and underscores")
        if self.dtype not in ("string", "int64"):
            raise DefinitionError(f"entity {self.name!r}: type {self.dtype!r}; an entity is 'string' or 'int64'")


def row_key(entities: Sequence[Entity], row: Mapping[str, object], *, owner: str) -> str:
    """The canonical key of one row, such as `card=s7|terminal=i12`; entities in the order of their names.

    The type is part of the key (1 is not "1") and text is escaped, so two different tuples never meet.
    Raises `InputError` for a missing or ill-typed value.
    """
    parts = []
    for entity in sorted(entities, key=lambda entity: entity.name):
        value = row.get(entity.name)
        if entity.dtype == "string" and isinstance(value, str):
            parts.append(f"{entity.name}=s{escaped(value)}")
        elif entity.dtype == "int64" and isinstance(value, int) and not isinstance(value, bool):
            parts.append(f"{entity.name}=i{value}")
        elif value is None:
            raise InputError(f"{owner}: the request lacks {entity.name!r} ({entity.dtype})")
        else:
            raise InputError(f"{owner}: {entity.name!r} must be {entity.dtype}, got {value!r}")
    return "|".join(parts)


def frame_keys(entities: Sequence[Entity], frame: pl.DataFrame) -> pl.Series:
    """The canonical keys of a frame's rows, equal to `row_key` of each; entity columns hold no nulls."""
    parts: list[pl.Expr] = []
    for entity in sorted(entities, key=lambda entity: entity.name):
        if entity.dtype == "string":
            text = (
                pl.col(entity.name)
                .str.replace_all("\\", "\\\\", literal=True)
                .str.replace_all("|", "\\|", literal=True)
            )
            parts.append(pl.format(f"{entity.name}=s{{}}", text))
        else:
            parts.append(pl.format(f"{entity.name}=i{{}}", pl.col(entity.name)))
    return frame.select(pl.concat_str(parts, separator="|").alias("key")).to_series()


def escaped(text: str) -> str:
    """Text as it stands in a key: what separates the parts of a key is marked."""
    return text.replace("\\", "\\\\").replace("|", "\\|")
