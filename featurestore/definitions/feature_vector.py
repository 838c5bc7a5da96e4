"""Feature vectors: the features a model reads, by name and in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import polars as pl

from ...runtime.errors import DefinitionError
from .schema import check_schema

Transform = Callable[[pl.DataFrame], pl.DataFrame]
T = TypeVar("T", bound=Transform)


@dataclass(frozen=True, slots=True)
class FeatureRef:
    """One feature of one set, `SET:FEATURE` in text; its column in a training set is SET__FEATURE."""

    set_name: str
    feature: str

    @property
    def column(self) -> str:
        """The column it becomes: free of the characters that model libraries refuse."""
        return f"{self.set_name}__{self.feature}"


@dataclass(frozen=True)
class FeatureVector:
    """Features as `SET:FEATURE` (or `SET:*`), read at one moment for one request or label.

    `request` gives the types of columns that come with the request (or stand beside the label) and become
    features themselves. `event_time` names the column that says when: required offline; online the clock is
    asked when it is None. A share `log_sample` of what is read online is kept for `store.audit`.
    `@vector.on_demand` adds features computed from the request and those read.
    """

    name: str
    features: Sequence[str]
    request: Mapping[str, str] = field(default_factory=dict)
    event_time: str | None = None
    label: str | None = None
    log_sample: float = 0.0
    _on_demand: list[tuple[Transform, tuple[str, ...]]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "request", dict(self.request))
        check_schema(self.name, self.request)
        if not 0.0 <= self.log_sample <= 1.0:
            raise DefinitionError(f"{self.name}: log_sample={self.log_sample} is no share; give one from 0.0 to 1.0")
        for text in self.features:
            self._parse(text)
        for text in self.features:
            if self.features.count(text) > 1:
                raise DefinitionError(f"{self.name}: {text!r} is named twice; drop one")
        if self.event_time in self.request:
            raise DefinitionError(f"{self.name}: event_time {self.event_time!r} is no feature; drop it from request")

    def on_demand(self, *columns: str) -> Callable[[T], T]:
        """Decorator: computes `columns` from the request, the event time and the features read.

        A Polars frame in, the same rows with the columns added out; the one function serves training and
        requests. Null where it returns null.
        """

        def attach(function: T) -> T:
            if self._on_demand:
                raise DefinitionError(f"{self.name}: an on-demand function is set already; add its columns there")
            self._on_demand.append((function, columns))
            return function

        return attach

    def refs(self) -> tuple[FeatureRef, ...]:
        """The features, parsed, in order; a `*` is not yet spelled out."""
        return tuple(self._parse(text) for text in self.features)

    @property
    def on_demand_columns(self) -> tuple[str, ...]:
        """The names of the features computed on demand."""
        return self._on_demand[0][1] if self._on_demand else ()

    @property
    def functions(self) -> tuple[Transform, ...]:
        """The user's own code in it."""
        return tuple(function for function, _ in self._on_demand)

    def completed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with the on-demand columns; raises `DefinitionError` when the function does not give them."""
        if not self._on_demand:
            return frame
        function, columns = self._on_demand[0]
        made = function(frame)
        for column in columns:
            if not isinstance(made, pl.DataFrame) or made.height != frame.height or column not in made.columns:
                raise DefinitionError(f"{self.name}: the on-demand function must keep every row and add {column!r}")
        return made

    def _parse(self, text: str) -> FeatureRef:
        set_name, colon, feature = text.partition(":")
        if not (set_name and colon and feature):
            raise DefinitionError(f"{self.name}: cannot read the feature {text!r}; write 'SET:FEATURE'")
        return FeatureRef(set_name, feature)
