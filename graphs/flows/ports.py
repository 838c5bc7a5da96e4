"""What a flow needs from outside: features, models, taps. Each is small, so that a test has its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Vector(Protocol):
    """What an enrich step reads: a `FeatureVector`, which a store opens, or anything with its own `open_reader()`."""

    @property
    def name(self) -> str: ...


class Reader(Protocol):
    """A vector ready to be read online: rows x `names`, NaN for null; raises `InputError`."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def read(self, rows: Sequence[Mapping[str, object]]) -> Floats: ...

    def moment_us(self, row: Mapping[str, object]) -> int:
        """When a request asks, in microseconds: its own event time, or now. Monitoring watches it at that moment."""


class Predictor(Protocol):
    """A model: predictions (n, or n x classes) and contributions (n x (features + 1), the base value last) for rows x
    features."""

    @property
    def features(self) -> tuple[str, ...]: ...

    def predict(self, rows: Floats) -> Floats: ...

    def explain(self, rows: Floats) -> Floats: ...


class Tap(Protocol):
    """Takes a copy of what was served; never waits, never raises."""

    def put(self, request_id: str, row: Floats, score: float, ts_us: int, reasons: Sequence[str] = ()) -> None:
        """`reasons` are the version of the reason codes and the codes, where an explain step has found some."""


class TapSource(Protocol):
    """Travels to the replicas and opens a tap in each, for the names of the features it will be given."""

    def open(self, names: tuple[str, ...]) -> Tap: ...
