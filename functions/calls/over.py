"""A function over many items: which of the ways to run them fits it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ...runtime.errors import DefinitionError
from ...runtime.task_body import BatchMode
from .calls import map_items, map_streams
from .spec import FunctionSpec

if TYPE_CHECKING:
    from ...runtime.ray_actors import Actors
    from ...runtime.ray_tasks import Tasks

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Reading:
    """How items are handed in and results read; see `Function.map`."""

    starred: bool = False
    ordered: bool = True
    return_exceptions: bool = False


def over(
    ray: Tasks[R] | Actors[R], items: Iterable[Any], spec: FunctionSpec, how: Reading, shared: Mapping[str, Any]
) -> Iterator[R]:
    """Each item's result, or what each item's generator yields."""
    if ray.is_stream:
        if not how.ordered or how.return_exceptions or how.starred:
            raise DefinitionError(
                f"{spec.name} yields its results: map it in order, without return_exceptions, an item a call"
            )
        return map_streams(ray.streams(shared), items)
    mode = BatchMode(starred=how.starred, keeps_going=how.return_exceptions)
    return map_items(
        ray.batches(shared, mode),
        items,
        ordered=how.ordered,
        return_exceptions=how.return_exceptions,
        at_once=spec.concurrency,
    )


def for_each(ray: Tasks[R] | Actors[R], items: Iterable[Any], spec: FunctionSpec, shared: Mapping[str, Any]) -> int:
    """Calls for each item, as they come; how many there were."""
    if ray.is_stream:
        return sum(1 for _ in map_streams(ray.streams(shared), items))
    mode = BatchMode(discards=True)
    found: Iterator[Any] = map_items(ray.batches(shared, mode), items, ordered=False, at_once=spec.concurrency)
    return sum(1 for _ in found)
