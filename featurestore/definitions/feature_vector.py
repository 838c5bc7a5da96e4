"""Feature vectors: the features a model reads, by name and in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import polars as pl

from ...runtime.errors import DefinitionError
from ...runtime.units import duration_us
from .schema import check_schema

Transform = Callable[[pl.DataFrame], pl.DataFrame]
T = TypeVar("T", bound=Transform)


@dataclass(frozen=True, slots=True)
class FeatureRef:
    """One feature of one set, `SET:FEATURE` in text; its column in a training set is SET__FEATURE."""

    set_name: str
    feature: str
    alias: str = ""

    @property
    def column(self) -> str:
        """The column it becomes: free of the characters that model libraries refuse."""
        return self.alias or f"{self.set_name}__{self.feature}"


@dataclass(frozen=True)
class FeatureVector:
    """Features as `SET:FEATURE` (or `SET:*`), read at one moment for one request or label.

    `request` gives the types of columns that come with the request (or stand beside the label) and become
    features themselves. `event_time` names the column that says when: required offline; online the clock is
    asked when it is None. `label` is a column that stands beside the labels' keys, or `SET:FEATURE`: then a training
    set has it as FEATURE, so long after each row's moment as `label_after` says ("7d": a window looks ahead), the
    newest value that is known without it; null while that moment has not come. A share `log_sample` of what is read
    online is kept for `store.audit`.
    `@vector.on_demand` adds features computed from the request and those read.
    """

    name: str
    features: Sequence[str]
    request: Mapping[str, str] = field(default_factory=dict)
    event_time: str | None = None
    label: str | None = None
    label_after: str | None = None
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
        self._check_label()
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

    @property
    def label_ref(self) -> FeatureRef | None:
        """The label where it is a feature of some set."""
        if self.label is None or ":" not in self.label:
            return None
        ref = self._parse(self.label)
        return FeatureRef(ref.set_name, ref.feature, alias=ref.feature)

    @property
    def label_column(self) -> str | None:
        """The label's column in a training set."""
        ref = self.label_ref
        return self.label if ref is None else ref.column

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

    def _check_label(self) -> None:
        if self.label_after is not None:
            duration_us(self.label_after)
        if self.label_ref is None:
            if self.label_after is not None:
                raise DefinitionError(f"{self.name}: label_after is for a label of a set; write label='SET:FEATURE'")
            return
        if self.label in self.features and self.label_after is None:
            raise DefinitionError(f"{self.name}: {self.label!r} is the label, so it is no feature; drop it from them")
        if self.label_column in self.request:
            raise DefinitionError(
                f"{self.name}: the label's column {self.label_column!r} is in the request, too; rename that one"
            )

    def _parse(self, text: str) -> FeatureRef:
        set_name, colon, feature = text.partition(":")
        if not (set_name and colon and feature):
            raise DefinitionError(f"{self.name}: cannot read the feature {text!r}; write 'SET:FEATURE'")
        return FeatureRef(set_name, feature)
