"""What stands for a value that is not there yet while a pipeline is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ...runtime.errors import DefinitionError
from .declared import Named
from .hints import hint_at
from .node import Built, Constant, FromNode, FromParameter, Key, Source


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A parameter or a step's output; `data["parts"]` is what will be in it.

    `hint` is the type that it is known to have (`Any` where it is not).
    """

    pipeline: Named = field(repr=False)
    source: FromNode | FromParameter
    hint: Any = Any

    def __getitem__(self, key: Key) -> Reference:
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise DefinitionError(f"{self.label}[{key!r}]: take a name or a place; for all else write a step")
        hint = hint_at(self.hint, key, self.label)
        return replace(self, source=replace(self.source, path=(*self.source.path, key)), hint=hint)

    @property
    def label(self) -> str:
        """As it is written: load["parts"]."""
        name = self.source.node if isinstance(self.source, FromNode) else self.source.name
        return name + "".join(f"[{key!r}]" for key in self.source.path)

    # Without these, Python would loop over `reference[0]`, `reference[1]`, ... for ever, and take any as true.
    def __iter__(self) -> Iterator[Reference]:
        raise DefinitionError(
            f"{self.label} is known only when the pipeline runs: p.map(fn, over=...) goes over its items"
        )

    def __bool__(self) -> bool:
        raise DefinitionError(f"{self.label} is known only when the pipeline runs: p.step(..., when=...) asks for it")


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """What `p.when(fn, ...)` gives, for `when=`; `~condition` is its opposite. It is asked once a run."""

    output: Reference
    negated: bool = False

    def __invert__(self) -> Condition:
        return replace(self, negated=not self.negated)

    def __bool__(self) -> bool:
        return bool(self.output)


def source_of(value: object, pipeline: Named, where: str) -> Source:
    """Where an argument comes from; raises `DefinitionError` for what belongs to another pipeline."""
    if isinstance(value, Condition):
        raise DefinitionError(f"{where} is a condition: a step takes it as when=")
    if isinstance(value, Reference):
        if value.pipeline is not pipeline:
            raise DefinitionError(
                f"{where}: {value.label} belongs to pipeline {value.pipeline.name!r}, not to {pipeline.name!r}: "
                "a pipeline's steps take its own outputs and parameters"
            )
        return value.source
    if type(value) in (list, tuple) and _holds(value):
        items: Any = value
        kind: Any = type(value).__name__
        return Built(kind, tuple(source_of(one, pipeline, where) for one in items))
    if type(value) is dict and _holds(value):
        return Built("dict", tuple(source_of(one, pipeline, where) for one in value.values()), tuple(value))
    return Constant(value)


def hint_of(value: object) -> Any:
    """The type of an argument, as far as it is known."""
    if isinstance(value, Reference):
        return value.hint
    kind = type(value)
    is_number = kind.__module__ == "numpy" and kind.__name__ != "ndarray"  # np.int64 goes where int is asked for
    return Any if is_number or _holds(value) else kind


def _holds(value: object) -> bool:
    """Whether there is a reference in it."""
    if isinstance(value, Reference | Condition):
        return True
    if type(value) is dict:
        return any(_holds(one) for one in value.values())
    # A long list of numbers is not looked through one by one: references stand in short ones.
    return type(value) in (list, tuple) and len(value) <= 10_000 and any(_holds(one) for one in value)  # type: ignore[arg-type,attr-defined]
