"""The steps a graph is made of, and what it needs from features, models and taps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import DefinitionError
from ...runtime.resources import Resources

Floats = NDArray[np.float64]
Kind = Literal["check", "enrich", "predict", "explain", "call", "respond"]


class Declared(Protocol):
    """A graph, for those who run it: its name and its steps in order."""

    @property
    def name(self) -> str: ...

    @property
    def steps(self) -> tuple[Step, ...]: ...


class Vector(Protocol):
    """What an enrich step reads: a `FeatureVector`, which a store opens, or anything with its own `open_reader()`."""

    @property
    def name(self) -> str: ...


class Reader(Protocol):
    """A vector ready to be read online: rows x `names`, NaN for null; raises `InputError`."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def read(self, rows: Sequence[Mapping[str, object]]) -> Floats: ...


class Predictor(Protocol):
    """A model: predictions (n) and contributions (n x (features + 1), the base value last) for n x features rows."""

    @property
    def features(self) -> tuple[str, ...]: ...

    def predict(self, rows: Floats) -> Floats: ...

    def explain(self, rows: Floats) -> Floats: ...


class Tap(Protocol):
    """Takes a copy of what was served; never waits, never raises."""

    def put(self, request_id: str, row: Floats, score: float, ts_us: int) -> None: ...


class TapSource(Protocol):
    """Travels to the replicas and opens a tap in each, for the names of the features it will be given."""

    def open(self, names: tuple[str, ...]) -> Tap: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its kind, its name in errors and pictures, and its subject.

    The subject is a function or class (check, call, respond), a vector (enrich), a model or its address (predict),
    or None. `fields` are the names a respond step selects.
    """

    kind: Kind
    name: str
    subject: Any = None
    resources: Resources = field(default_factory=lambda: Resources(cpus=0.0))
    fields: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise DefinitionError(f"a {self.kind} step has no name: give it one with name=")

    @classmethod
    def calling(cls, subject: Any, *, kind: Kind = "call", name: str | None = None) -> Step:
        """A step that calls a function, or a class that is made (with its `setup`) once a replica."""
        if not callable(subject):
            raise DefinitionError(f"{subject!r} is no step: give a function, a class with __call__, or a graph's step")
        made = str(name or getattr(subject, "__name__", type(subject).__name__))
        if isinstance(subject, type) and not any("__call__" in vars(base) for base in subject.__mro__):
            raise DefinitionError(f"class {made} cannot run as a step: give it a __call__(self, body)")
        return cls(kind, made, subject)
