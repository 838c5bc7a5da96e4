"""What stands behind a graph's queues, beside the replicas that take the requests.

A replica has the consumers of its own version as children: they come and go with it, whatever happens to it, and one
that dies alone is started anew. Those of all replicas share the partitions of a queue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ...runtime.resources import Resources
from ...runtime.settings import Settings
from ..flows.compile import modules
from ..flows.ports import TapSource
from ..flows.queue_cut import cut_at_queues
from ..flows.step import Step, walk
from .live_figures import LiveFigures, in_a_thread

if TYPE_CHECKING:
    from ..streams.graph_stream import Behind, GraphStream
    from ..streams.ray_consumers import Children


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
    version: str,
    settings: Settings,
    tap: TapSource | None = None,
) -> tuple[Crew, ...]:
    """A crew a queue, whose steps tell their figures under that version; raises `InputError` for what cannot travel."""
    _, tails = cut_at_queues(steps)
    if not tails:
        return ()
    from ..streams.graph_stream import Behind
    from ..streams.ray_consumers import packed_make

    used = modules(steps, rescue, tap)
    crews = []
    for tail in tails:
        make = partial(_made, Behind(graph, steps, tail.name, rescue, tap), version, settings)
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


def _made(behind: Behind, version: str, settings: Settings, owner: str) -> GraphStream:
    from ..streams.graph_stream import GraphStream

    live = LiveFigures(behind.graph, version, later=in_a_thread)
    return GraphStream.of_queue(behind, settings=settings, owner=owner, live=live)
