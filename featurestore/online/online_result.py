"""What an online read found: the features of some requests, in the form the caller asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...runtime.errors import DefinitionError, did_you_mean
from ..definitions.entity import Entity
from ..definitions.feature_vector import FeatureVector
from ..definitions.schema import NUMERIC
from ..state.columns import Column, listed, put_numbers, series
from .requests import Asked
from .set_read import SetRows

if TYPE_CHECKING:
    import pandas
    import pyarrow


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of a vector's reads: names in order, and their types."""

    vector: FeatureVector
    types: Mapping[str, str]
    names: tuple[str, ...]
    text: str | None  # the first column that is no number

    @classmethod
    def of(cls, vector: FeatureVector, types: Mapping[str, str]) -> Shape:
        """The shape of a vector whose columns have these types."""
        text = next((name for name, dtype in types.items() if dtype not in NUMERIC), None)
        return cls(vector, types, tuple(types), text)


class OnlineResult:
    """The features of some requests, one row each; nothing is converted before it is asked for.

    `result["column"]` is one column as a Polars series.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        asked: Asked,
        sets: Mapping[str, SetRows],
    ) -> None:
        self._shape = shape
        self._asked = asked
        self._sets = sets
        self.names = shape.names

    def __len__(self) -> int:
        return self._asked.requests.size

    def __getitem__(self, name: str) -> pl.Series:
        if name not in self._shape.types:
            raise DefinitionError(f"{self._shape.vector.name}: no column {name!r}{did_you_mean(name, self.names)}")
        return self._frame[name]

    @cached_property
    def asked_us(self) -> NDArray[np.int64]:
        """When each request asked: its event time, or when it came."""
        return self._asked.moments_us()

    @cached_property
    def moments_us(self) -> dict[str, NDArray[np.int64]]:
        """By feature set version (`cards.v1`): the moment each row is true of, as a training set would name it."""
        return {label: rows.moments_us for label, rows in self._sets.items()}

    @cached_property
    def offsets(self) -> dict[str, NDArray[np.int64]]:
        """By feature set version: the last offset of the log that each row has seen, -1 for an unknown key."""
        return {label: rows.offsets for label, rows in self._sets.items()}

    def of_set(self, label: str) -> dict[str, Column]:
        """The features of one feature set version (`cards.v1`), by column."""
        return self._sets[label].columns()

    def entity(self, entity: Entity) -> list[object]:
        """The entity's value in each request."""
        return self._asked.requests.column(entity.name, entity.dtype)

    def to_numpy(self) -> NDArray[np.float64]:
        """Rows x `names`, null as NaN; raises `DefinitionError` for text and lists."""
        if self._shape.text is not None:
            name = self._shape.text
            dtype = self._shape.types[name]
            raise DefinitionError(
                f"{self._shape.vector.name}: {name!r} is {dtype}; a model reads numbers, drop or encode it"
            )
        matrix = np.empty((len(self), len(self.names)), dtype=np.float64)
        for place, column in enumerate(self._asked.columns.values()):
            put_numbers(matrix, place, column)
        for rows in self._sets.values():
            rows.fill(matrix)
        for name in self._shape.vector.on_demand_columns:
            put_numbers(matrix, self.names.index(name), self._frame[name])
        return matrix

    def to_dict(self) -> dict[str, list[object]]:
        """A list a column, None for null; times as datetimes."""
        types = self._shape.types
        found = {name: listed(column, types[name]) for name, column in self._asked.columns.items()}
        for rows in self._sets.values():
            found |= rows.lists()
        found |= {name: self._frame[name].to_list() for name in self._shape.vector.on_demand_columns}
        return {name: found[name] for name in self.names}

    def to_rows(self) -> list[dict[str, object]]:
        """A dict a request."""
        columns = self.to_dict()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_polars(self) -> pl.DataFrame:
        """A Polars frame, nulls and text exact."""
        return self._frame

    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table."""
        return self._frame.to_arrow()

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas frame."""
        return self._frame.to_pandas()

    @cached_property
    def _frame(self) -> pl.DataFrame:
        types, vector = self._shape.types, self._shape.vector
        stored: dict[str, Column] = dict(self._asked.columns)
        for rows in self._sets.values():
            stored |= rows.columns()
        made = [series(column, types[name]).alias(name) for name, column in stored.items()]
        if not vector.on_demand_columns:
            return pl.DataFrame(made).select(self.names)
        if vector.event_time is not None:
            moments = pl.Series(vector.event_time, self.asked_us.view("datetime64[us]"))
            made.append(moments.dt.replace_time_zone("UTC"))
        return vector.completed(pl.DataFrame(made)).select(self.names)
