"""What stands behind a graph's queues, beside the replicas that take the requests.

A replica has the consumers of its own version as children: they come and go with it, whatever happens to it, and one
that dies alone is started anew. Those of all replicas share the partitions of a queue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...runtime.resources import Resources
from ...runtime.settings import Settings
from ..flows.compile import modules
from ..flows.ports import TapSource
from ..flows.queue_cut import cut_at_queues
from ..flows.step import Step, walk

if TYPE_CHECKING:
    from ..streams.graph_stream import GraphStream
    from ..streams.ray_consumers import Children, Make


@dataclass(frozen=True, slots=True)
class Crew:
    """The consumers of one queue: what each runs, packed, what it asks, and how many there are a replica."""

    packed: bytes
    needs: Resources
    workers: int


def packed_tails(
    graph: str,
    steps: tuple[Step, ...],
    rescue: Callable[..., Any] | None,
    *,
    settings: Settings,
    tap: TapSource | None = None,
) -> tuple[Crew, ...]:
    """A crew a queue; raises `InputError` for what cannot travel."""
    _, tails = cut_at_queues(steps)
    if not tails:
        return ()
    from ..streams.ray_consumers import packed_make

    used = modules(steps, rescue, tap)
    crews = []
    for tail in tails:
        make = _make(graph, steps, tail.name, rescue, settings, tap)
        inside = walk(tail.steps)
        needs = Resources(
            cpus=sum(step.resources.cpus for step in inside),
            gpu=sum(step.resources.gpu for step in inside),
            memory_bytes=sum(step.resources.memory_bytes for step in inside),
        )
        crews.append(Crew(packed_make(make, name=graph, modules=used), needs, tail.rule.workers))
    return tuple(crews)


def started(crews: tuple[Crew, ...]) -> Children:
    """The consumers, as children of this process."""
    from ..streams.ray_consumers import Children

    children = Children()
    for crew in crews:
        for _ in range(crew.workers):
            children.start(crew.packed, crew.needs)
    return children


def _make(
    graph: str,
    steps: tuple[Step, ...],
    queue: str,
    rescue: Callable[..., Any] | None,
    settings: Settings,
    tap: TapSource | None,
) -> Make:
    def make(owner: str) -> GraphStream:
        from ..streams.graph_stream import GraphStream

        return GraphStream.of_queue(graph, steps, queue, rescue=rescue, tap=tap, settings=settings, owner=owner)

    return make
