"""Training sets: labels with what each feature was at their moment, in any form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from .ray_table import Dataset


class Table(Protocol):
    """Where a training set's rows lie."""

    def frame(self) -> pl.DataFrame:
        """All of them in this process's memory."""

    def dataset(self) -> Dataset:
        """As a Ray Dataset."""


@dataclass(frozen=True, slots=True)
class Local:
    """In this process's memory."""

    rows: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """The rows."""
        return self.rows

    def dataset(self) -> Dataset:
        """As a Ray Dataset; starts a Ray where there is none."""
        from .ray_table import dataset_of

        return dataset_of(self.rows)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The labels, every row and in their order, with the vector's features beside them.

    `pins` names each feature set version and the version of its offline table that was read, `label` the column that
    the vector calls its label, `vector` its name, `label_after` how long after its row the label is known ("7d"). A set
    that was joined
    on Ray stays there, in its object store and on its disks, until a form in memory is asked for.
    """

    table: Table
    feature_names: tuple[str, ...]
    pins: dict[str, int]
    label: str | None = None
    vector: str = ""
    label_after: str | None = None

    @property
    def frame(self) -> pl.DataFrame:
        """As a Polars frame."""
        return self.table.frame()

    def to_polars(self) -> pl.DataFrame:
        """As a Polars frame."""
        return self.frame

    def to_pandas(self) -> pandas.DataFrame:
        """As a pandas frame."""
        return self.frame.to_pandas()

    def to_arrow(self) -> pyarrow.Table:
        """As an Arrow table."""
        return self.frame.to_arrow()

    def to_dict(self) -> dict[str, list[object]]:
        """A list a column, None for null; times as datetimes."""
        return self.frame.to_dict(as_series=False)

    def to_numpy(self) -> NDArray[np.float64]:
        """The features alone, rows x `feature_names`, null as NaN."""
        columns = [pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in self.feature_names]
        return self.frame.select(columns).to_numpy()

    def to_ray(self) -> Dataset:
        """As a Ray Dataset, its rows in the order of the labels."""
        return self.table.dataset()
