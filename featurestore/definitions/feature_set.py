"""Feature sets: typed events of an entity, and the features made of them."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import polars as pl

from ...runtime.errors import DefinitionError, did_you_mean
from ...runtime.units import duration_us
from .aggregates import EVERY_ROW, Aggregate
from .entity import Entity
from .layout import Layout, lay_out, widened
from .rules import Rule
from .schema import check_schema, dtype_of, empty

Transform = Callable[[pl.DataFrame], pl.DataFrame]
T = TypeVar("T", bound=Transform)


@dataclass(frozen=True)
class FeatureSet:
    """Events keyed by `entities`, stamped by the column `timestamp`, with the columns of `schema`.

    With `source`, another set, its events are that set's (after its transform), seen by other entities: `schema` names
    the columns to take, by default all of them, and events without such an entity are left out. `aggregates` make
    windowed features; `features` names the columns whose latest value is a feature (by default all of them when there
    is no aggregate, none otherwise). `ttl` is how long a latest value holds. Raises `DefinitionError` with the cure
    when something does not fit.
    """

    name: str
    entities: Sequence[Entity]
    timestamp: str = ""
    schema: Mapping[str, str] = field(default_factory=dict)
    aggregates: Sequence[Aggregate] = ()
    features: Sequence[str] | None = None
    rules: Sequence[Rule] = ()
    ttl: str | None = None
    owner: str = ""
    description: str = ""
    source: FeatureSet | None = None
    _transform: list[Transform] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("entities", "aggregates", "rules"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "schema", dict(self.schema))
        if self.source is not None:
            self._take_from(self.source)
        self._check_names()
        check_schema(self.name, self.schema)
        for rule in self.rules:
            self._known(rule.column, self.input_schema)
            rule.broken()
        if self.ttl is not None:
            duration_us(self.ttl)

    def transform(self, function: T) -> T:
        """Decorator: a vectorised function, Polars frame in and out, that batch and stream both run.

        It sees entities, timestamp and schema columns, keeps every row, and may add or replace columns.
        """
        if self._transform:
            raise DefinitionError(f"{self.name}: a transform is set already; put both steps into one function")
        self._transform.append(function)
        for derived in ("output_schema", "layout", "_content_hash"):
            self.__dict__.pop(derived, None)  # whoever looked before the transform was set must look again
        return function

    @property
    def input_schema(self) -> dict[str, str]:
        """The types a row must have: entities, timestamp, then the schema."""
        keys = {entity.name: str(entity.dtype) for entity in self.entities}
        return {**keys, self.timestamp: "timestamp", **self.schema}

    @cached_property
    def output_schema(self) -> dict[str, str]:
        """The types of the columns after the transform; found by running it on an empty frame."""
        made = self.transformed(empty(self.input_schema))
        return {name: dtype_of(made.schema[name], owner=self.name, column=name) for name in made.columns}

    @cached_property
    def layout(self) -> Layout:
        """The compiled layout; raises `DefinitionError` for aggregates or features that do not fit."""
        columns = self.output_schema
        keys = {*(entity.name for entity in self.entities), self.timestamp}
        for aggregate in self.aggregates:
            if aggregate.column == EVERY_ROW:
                continue
            self._known(aggregate.column, columns)
            dtype = widened(columns[aggregate.column])
            for function, calculation in zip(aggregate.functions, aggregate.calculations(), strict=True):
                if dtype not in calculation.takes:
                    raise DefinitionError(
                        f"{self.name}: cannot take {function!r} of {aggregate.column!r} ({dtype}); "
                        f"it takes {', '.join(calculation.takes)} columns"
                    )
        chosen = self.features
        if chosen is None:
            chosen = [] if self.aggregates else [name for name in columns if name not in keys]
        for name in chosen:
            self._known(name, columns)
        layout = lay_out(self.aggregates, columns, [(name, columns[name]) for name in chosen])
        names = [feature.name for feature in layout.windowed] + list(chosen)
        for name in names:
            if names.count(name) > 1:
                raise DefinitionError(f"{self.name}: the feature {name!r} is defined twice; drop one")
        return layout

    @property
    def feature_types(self) -> dict[str, str]:
        """Every feature and its type, windowed ones first."""
        return {feature.name: feature.dtype for feature in self.layout.windowed} | dict(self.layout.plain)

    @property
    def ttl_us(self) -> int | None:
        """How long a latest value holds, in microseconds; None for ever."""
        return None if self.ttl is None else duration_us(self.ttl)

    def transformed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame after the transform; raises `DefinitionError` when it loses rows or keys."""
        if not self._transform:
            return frame
        made = self._transform[0](frame)
        if not isinstance(made, pl.DataFrame) or made.height != frame.height:
            raise DefinitionError(f"{self.name}: the transform must return a Polars frame with every row it was given")
        for name in (*(entity.name for entity in self.entities), self.timestamp):
            if name not in made.columns:
                raise DefinitionError(f"{self.name}: the transform dropped {name!r}; keep entities and timestamp")
        return made

    def definition(self) -> dict[str, Any]:
        """The declaration in plain JSON types; two sets with equal definitions are the same version."""
        return {
            "entities": [[entity.name, entity.dtype] for entity in self.entities],
            "timestamp": self.timestamp,
            "schema": self.schema,
            "output_schema": self.output_schema,
            "aggregates": [[a.column, list(a.functions), list(a.windows), a.granularity] for a in self.aggregates],
            "plain": [list(pair) for pair in self.layout.plain],
            "rules": [[r.column, r.kind, list(r.bounds or ()), list(r.allowed), r.on_fail] for r in self.rules],
            "ttl": self.ttl,
            "transform": [_source(function) for function in self._transform],
        } | ({} if self.source is None else {"source": [self.source.name, self.source.content_hash()]})

    def content_hash(self) -> str:
        """Sha-256 of the definition, transform code included, as hex."""
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        # Every push compares it with the applied version, and reading a function's source takes a millisecond.
        return hashlib.sha256(json.dumps(self.definition(), sort_keys=True).encode()).hexdigest()

    def _take_from(self, source: FeatureSet) -> None:
        if any(rule.on_fail == "raise" for rule in self.rules):
            raise DefinitionError(f'{self.name}: a derived set is given no rows by anybody; use on_fail="reject"')
        columns = source.output_schema
        object.__setattr__(self, "timestamp", self.timestamp or source.timestamp)
        keys = {entity.name: str(entity.dtype) for entity in self.entities} | {self.timestamp: "timestamp"}
        schema = self.schema or {name: dtype for name, dtype in columns.items() if name not in keys}
        object.__setattr__(self, "schema", schema)
        for name, dtype in {**keys, **schema}.items():
            self._known(name, columns)
            if columns[name] != dtype:
                raise DefinitionError(f"{self.name}: {name!r} is {columns[name]} in {source.name}, not {dtype}")

    def _check_names(self) -> None:
        if not self.name.isidentifier():
            raise DefinitionError(f"feature set {self.name!r}: use letters, digits and underscores")
        if not self.timestamp:
            raise DefinitionError(f"feature set {self.name!r}: name the column that says when, timestamp='ts'")
        if not self.entities:
            raise DefinitionError(f"feature set {self.name!r}: name at least one Entity")
        keys = [entity.name for entity in self.entities]
        for name in keys:
            if keys.count(name) > 1 or name == self.timestamp or name in self.schema:
                raise DefinitionError(f"{self.name}: column {name!r} is declared twice")
        if self.timestamp in self.schema:
            raise DefinitionError(f"{self.name}: the timestamp {self.timestamp!r} must not stand in the schema too")

    def _known(self, column: str, columns: Mapping[str, str]) -> None:
        if column not in columns:
            raise DefinitionError(f"{self.name}: no column {column!r}{did_you_mean(column, columns)}")


def _source(function: Transform) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # defined at a prompt: its compiled form tells versions apart as well
        return function.__code__.co_code.hex() + repr(function.__code__.co_consts)
