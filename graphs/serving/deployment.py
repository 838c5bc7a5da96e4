"""From a graph to a service: what replicas make, in the ingress and in the parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import orjson

from ...autoscaling.scale import Scale
from ...functions.http.api_keys import ApiKeys
from ...functions.http.http_app import HttpApp, HttpOptions
from ...functions.rollouts.rollout import Trial
from ...functions.rollouts.service import Service, ServicePart
from ...runtime.resources import Resources
from ...runtime.settings import Settings
from ..flows.away import AwayPart, Call, Cut, away_stages, cut
from ..flows.compile import compiled, modules, resolved, version
from ..flows.outside import Outside
from ..flows.plan import Plan, plan
from ..flows.ports import TapSource
from ..flows.queue_cut import cut_at_queues
from ..flows.step import Declared, Step
from ..flows.tuning import Change
from .asgi import graph_app
from .live_figures import LiveFigures
from .part import PartApp
from .tails import packed_tails, started

Bodies = Sequence[Mapping[str, Any]]


class DeployOptions(TypedDict, total=False):
    """The further keywords of `Graph.deploy`.

    `scale` and `resources` are those of the replicas that take the requests (default: one; what their steps ask, at
    least half a CPU). `tap` opens in each of them what takes a copy of the traffic (`Monitor(...).tap()`). Each of them
    answers the bodies of `warm_up` before it is asked by others; a version that fails at them is none. `timeout_s` is
    how long replicas may take to come up.
    """

    scale: Scale | None
    resources: Resources | None
    tap: TapSource | None
    warm_up: Bodies
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Serving:
    """How a graph is served."""

    settings: Settings
    trial: Trial = Trial()
    scale: Scale | None = None
    resources: Resources | None = None
    tap: TapSource | None = None
    warm_up: Bodies = ()
    timeout_s: float = 90.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """A graph made ready: its models looked up, its steps placed, its content counted."""

    steps: tuple[Step, ...]
    plan: Plan
    pieces: Cut
    content: str

    @classmethod
    def of(cls, graph: Declared, how: Serving) -> Deployment:
        """Finds what can be wrong before a replica starts; raises `DefinitionError`, `ModelNotFound`,
        `ModelMismatch`."""
        steps = resolved(graph, how.settings)
        placed = plan(graph.name, steps, scale=how.scale, resources=how.resources)
        front, tails = cut_at_queues(steps)
        for tail in tails:
            compiled(graph.name, tail.steps, rescue=graph.rescue, settings=how.settings).close()
        pieces = cut(front, placed)
        if not placed.ingress.packages:  # else only a replica has what the steps need
            outside = _outside(pieces.parts, dict.fromkeys((part.name for part in pieces.parts), _nobody))
            compiled(graph.name, pieces.steps, rescue=graph.rescue, settings=how.settings, outside=outside).close()
        return cls(steps, placed, pieces, version(steps, graph.rescue))

    @property
    def part_versions(self) -> tuple[str, ...]:
        """Twelve hex digits of each part's content."""
        return tuple(version(self.pieces.inside[part.name]) for part in self.plan.parts)

    def service(self, graph: Declared, how: Serving) -> Service:
        """What is deployed."""
        ingress, settings = self.plan.ingress, how.settings
        http = HttpOptions(self.content, keys=ApiKeys.of(settings.api_keys))
        parts = tuple(self._part(graph.name, place, settings) for place in range(len(self.plan.parts)))
        warm_up = orjson.dumps(list(how.warm_up), option=orjson.OPT_SERIALIZE_NUMPY)
        return Service(
            name=graph.name,
            build=_build(graph, self, how, http),
            content=self.content,
            identity="\0".join(
                [repr(http), repr(how.tap), repr(settings), warm_up.decode(), *(p.identity for p in parts)]
            ),
            modules=modules(self.pieces.steps, how.tap, graph.rescue),
            packages=ingress.packages,
            resources=ingress.resources,
            scale=ingress.scale,
            parts=parts,
        )

    def _part(self, graph: str, place: int, settings: Settings) -> ServicePart:
        part, content = self.plan.parts[place], self.part_versions[place]
        inside = self.pieces.inside[part.name]
        return ServicePart(
            name=part.name,
            build=_build_part(graph, inside, settings, content),
            identity=f"{content}\0{part.packages}\0{settings}",
            modules=modules(inside),
            packages=part.packages,
            resources=part.resources,
            scale=part.scale,
        )


def _outside(parts: Sequence[AwayPart], calls: Mapping[str, Call]) -> Outside:
    return Outside(stages=away_stages(parts, calls), waits=True) if parts else Outside()


async def _nobody(*_: object) -> bytes:
    """Stands for a part while a graph is only looked at."""
    raise RuntimeError("no replica of the part runs here")


def _build(graph: Declared, made_of: Deployment, how: Serving, http: HttpOptions) -> Callable[..., HttpApp]:
    """What runs in each replica of the ingress to make its application; it is given the calls of the parts."""
    name, rescue, settings, tap, bodies = graph.name, graph.rescue, how.settings, how.tap, list(how.warm_up)
    pieces = made_of.pieces
    tails = packed_tails(name, made_of.steps, rescue, version=http.version, settings=settings, tap=tap)

    def build(calls: Mapping[str, Call] | None = None) -> HttpApp:
        steps = pieces.steps
        vector = next((step.subject for step in steps if step.kind == "enrich"), None)
        live = LiveFigures(name, http.version)
        changes: dict[str, Change] = {}
        outside = replace(_outside(pieces.parts, calls or {}), meters=live.meters, changes=changes)
        made = compiled(name, steps, rescue=rescue, settings=settings, tap=tap, outside=outside)
        if tails:
            made = replace(made, opened=(*made.opened, started(tails)))
        for part in pieces.parts:
            for step in part.steps:
                live.meters.pop(step, None)  # the part tells them
        request_types = dict(getattr(vector, "request", {}))
        return graph_app(made, http, request_types=request_types, live=live, changes=changes, warm_up=bodies)

    return build


def _build_part(graph: str, inside: tuple[Step, ...], settings: Settings, content: str) -> Callable[[], PartApp]:
    """What runs in each replica of a part."""

    def build() -> PartApp:
        live = LiveFigures(graph, content)
        changes: dict[str, Change] = {}
        made = compiled(graph, inside, settings=settings, outside=Outside(meters=live.meters, changes=changes))
        return PartApp(made, changes=changes, worked=live.worked)

    return build
