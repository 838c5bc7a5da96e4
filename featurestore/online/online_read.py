"""Reading a vector online: any number of requests, any number of feature sets, one round trip."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..definitions.catalog import AppliedSet
from ..definitions.feature_vector import FeatureVector
from ..definitions.wanted import Wanted, resolve
from .online import OnlineStore
from .online_keys import OnlineKeys
from .online_result import OnlineResult, Shape
from .requests import Asked, Rows, moment_us
from .set_read import SetPlan, SetRows

MOST_READERS = 256


class VectorReader:
    """A vector compiled against the sets' active versions; safe to use from several threads.

    Requests are rows (a mapping each) or columns (a mapping of equally long lists). `listener` is shown every answer.
    """

    def __init__(
        self,
        vector: FeatureVector,
        wanted: Sequence[Wanted],
        online: OnlineStore,
        *,
        listener: Callable[[OnlineResult], None] | None = None,
    ) -> None:
        self.vector = vector
        self._listener = listener
        self._wanted = tuple(wanted)
        self._online = online
        read = {ref.column: item.applied.feature_types[ref.feature] for item in wanted for ref in item.refs}
        types = {**vector.request, **read} | dict.fromkeys(vector.on_demand_columns, "float64")
        self.names: tuple[str, ...] = tuple(types)
        self._shape = Shape.of(vector, types)
        self._keys = OnlineKeys(wanted)
        self._plans = {item.applied.label: SetPlan(item, self.names) for item in wanted}

    @property
    def asks(self) -> dict[str, str]:
        """What a request brings, with types: keys of entities, its event time, columns that are features themselves."""
        keys = {entity.name: entity.dtype for item in self._wanted for entity in item.applied.entities}
        moment = {} if self.vector.event_time is None else {self.vector.event_time: "timestamp"}
        return keys | moment | dict(self.vector.request)

    def get(self, rows: Rows) -> OnlineResult:
        """The features of each request; raises `InputError` for a request that does not fit.

        A request asks at its event time, or now. An entity whose newest event is later is answered as of just
        after that event.
        """
        asked = Asked(self.vector, rows)
        return self._found(asked, self._online.read(self._keys.of(asked.requests)))

    async def aget(self, rows: Rows) -> OnlineResult:
        """`get` for coroutines; requests of one event loop share a round trip."""
        asked = Asked(self.vector, rows)
        return self._found(asked, await self._online.aread(self._keys.of(asked.requests)))

    async def aread(self, rows: Rows) -> NDArray[np.float64]:
        """`read` for coroutines."""
        return (await self.aget(rows)).to_numpy()

    def read(self, rows: Rows) -> NDArray[np.float64]:
        """Requests to numbers, rows x `names`, null as NaN; raises `InputError`, `DefinitionError` for text."""
        return self.get(rows).to_numpy()

    def moment_us(self, row: Mapping[str, object]) -> int:
        """When a request asks: its event time, or now. Monitoring watches it at that moment."""
        column = self.vector.event_time
        if column is None:
            return time.time_ns() // 1000
        return moment_us(row.get(column), owner=f"{self.vector.name}: {column}")

    def frame(self, rows: Rows) -> pl.DataFrame:
        """Requests to a typed frame with the columns `names`, nulls and text exact."""
        return self.get(rows).to_polars()

    def reads(self, vector: FeatureVector, applied_of: Callable[[str], AppliedSet]) -> bool:
        """Whether it was compiled for this very vector, as it is now, and the versions that are active."""
        return (
            vector is self.vector
            and all(applied_of(item.refs[0].set_name) is item.applied for item in self._wanted)
            and self.names[len(self.names) - len(vector.on_demand_columns) :] == vector.on_demand_columns
        )

    def _found(self, asked: Asked, packed: Sequence[bytes | None]) -> OnlineResult:
        size = asked.requests.size
        sets = {
            label: SetRows(plan, packed[place * size : (place + 1) * size], asked.moment_us)
            for place, (label, plan) in enumerate(self._plans.items())
        }
        found = OnlineResult(self._shape, asked=asked, sets=sets)
        if self._listener is not None:
            self._listener(found)
        return found


class Readers:
    """The readers of the vectors that were asked for last: compiling one costs more than a read."""

    def __init__(self) -> None:
        self._kept: dict[int, VectorReader] = {}

    def of(
        self,
        vector: FeatureVector,
        applied_of: Callable[[str], AppliedSet],
        online: Callable[[], OnlineStore],
        *,
        listener: Callable[[Sequence[Wanted]], Callable[[OnlineResult], None] | None] = lambda _: None,
    ) -> VectorReader:
        """A reader of this vector against the active versions; raises `FeatureSetNotFound`, `FeatureNotFound`."""
        kept = self._kept.get(id(vector))
        if kept is None or not kept.reads(vector, applied_of):
            while len(self._kept) >= MOST_READERS:
                self._kept.pop(next(iter(self._kept)), None)
            wanted = resolve(vector, applied_of)
            kept = self._kept[id(vector)] = VectorReader(vector, wanted, online(), listener=listener(wanted))
        return kept
