"""A graph's stream that runs on Ray by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...featurestore.events.log import DeadLetter
from ...runtime.resources import Resources
from ...runtime.settings import Settings
from ..flows.compile import modules, resolved
from ..flows.step import Declared, walk
from .consumer import Status, status_of
from .graph_stream import GraphStream, StreamOptions
from .opened import open_source


@dataclass(frozen=True, slots=True)
class DeployedStream:
    """Shows and stops it; what it has done, it has done for good, and deployed again it goes on from there."""

    graph: str
    source: str
    settings: Settings
    schema: Mapping[str, str] | None = None

    def status(self) -> Status:
        """What waits, what was put aside, and how each consumer does, in whatever process."""
        opened = open_source(self.settings, self.graph, self.source, schema=self.schema)
        try:
            return status_of(opened.feed, opened.leases)
        finally:
            opened.feed.close()

    def dead_letters(self, *, most: int = 100) -> list[DeadLetter]:
        """What was put aside, newest last, with the reason."""
        opened = open_source(self.settings, self.graph, self.source, schema=self.schema)
        try:
            return opened.feed.buried(most=most)
        finally:
            opened.feed.close()

    def stop(self) -> int:
        """Ends the consumers after the steps they are at; how many there were."""
        from .ray_consumers import DeployedConsumers

        return DeployedConsumers(self.graph, self.settings).stop()


def deploy_stream(
    graph: Declared, source: str, *, workers: int, settings: Settings, options: StreamOptions
) -> DeployedStream:
    """Starts or replaces the graph's consumers; raises `DefinitionError`, `ServerUnavailable`."""
    from .ray_consumers import DeployedConsumers, packed_make

    name, steps, rescue = graph.name, resolved(graph, settings), graph.rescue
    cluster = DeployedConsumers(name, settings)
    inside = walk(steps)
    needs = Resources(cpus=sum(step.resources.cpus for step in inside), gpu=sum(step.resources.gpu for step in inside))

    def make(owner: str) -> GraphStream:
        return GraphStream.of_steps(name, steps, source, rescue=rescue, settings=settings, options=options, owner=owner)

    packed = packed_make(make, name=name, modules=modules(steps, rescue))
    cluster.deploy(packed, workers=workers, needs=needs)
    return DeployedStream(name, source, settings, options.schema)
