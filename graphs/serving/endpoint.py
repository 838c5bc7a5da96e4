"""A graph that is served: where it is, what it answers, how it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...autoscaling.scale import Scale
from ...functions.api_keys import ApiKeys
from ...functions.deployed import Deployed
from ...functions.http_app import HttpApp, HttpOptions
from ...functions.rollout import Rollout, Trial
from ...functions.service import Service
from ...runtime.errors import NotFoundError
from ...runtime.resources import Resources
from ...runtime.settings import Settings
from ..flows.compile import compiled, modules, resolved, version
from ..flows.meter import Figures
from ..flows.outside import Outside
from ..flows.ports import TapSource
from ..flows.queue_cut import cut_at_queues
from ..flows.step import Declared, Step
from .asgi import graph_app
from .live_figures import LiveFigures, figures_told
from .tails import packed_tails, started

if TYPE_CHECKING:
    from ..pictures.svg import Picture
    from ..streams.queue_view import QueueView


@dataclass(frozen=True, slots=True)
class Endpoint(Deployed):
    """`url` takes POSTs of one JSON object or a list of them; `version` is the content of the graph.

    `steps` are known where the graph was deployed from.
    """

    steps: tuple[Step, ...] = field(default=(), repr=False, compare=False, kw_only=True)

    def call(self, body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
        """The answer to one body, or the answers to a list of them; raises the error the service answered with."""
        return self._client().post("", body)

    def explain(self, body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
        """Each feature's contribution to the score, in margin units, and the base value."""
        return self._client().post("/explain", body)

    def queue(self, name: str = "tail") -> QueueView:
        """A queue of the graph: `status()`, `dead_letters()`, `replay()`; raises `NotFoundError`."""
        from ..streams.opened import tail_of
        from ..streams.queue_view import QueueView

        self._check_known()
        return QueueView(self.name, name, tail_of(self.steps, name).rule, self.settings)

    def figures(self) -> dict[str, Figures]:
        """What each step has done so far, over all replicas of this version; they tell it about once a second."""
        return figures_told(self.name, self.version)

    def plot(self) -> Picture:
        """The graph's picture with each step's figures; raises `NotFoundError` where another process deployed it."""
        from ..pictures.flow_diagram import flow_diagram
        from ..pictures.svg import drawn

        self._check_known()
        return drawn(flow_diagram(self.name, self.steps, figures=self.figures()))

    def _check_known(self) -> None:
        if not self.steps:
            raise NotFoundError(
                f"the steps of {self.name!r} are not known here: use what the Graph's deploy() returned"
            )

    def _repr_svg_(self) -> str | None:
        return self.plot().svg if self.steps else None


def deploy(
    graph: Declared, *, settings: Settings, scale: Scale, resources: Resources, tap: TapSource | None, timeout_s: float
) -> Endpoint:
    """Starts or updates the graph's service; raises `DeploymentError`, `ModelNotFound`, `ModelMismatch`.

    What can be wrong is found here, before a replica starts: the model is loaded and the vector resolved.
    """
    steps = resolved(graph, settings)
    for one in (steps, *(tail.steps for tail in cut_at_queues(steps)[1])):
        compiled(graph.name, one, rescue=graph.rescue, settings=settings).close()
    content = version(steps, graph.rescue)
    http = HttpOptions(content, keys=ApiKeys.of(settings.api_keys))
    service = Service(
        name=graph.name,
        build=_build(graph, steps, settings, tap, http),
        content=content,
        identity=f"{http}\0{tap!r}\0{settings}",
        modules=modules(steps, tap, graph.rescue),
        resources=resources,
        scale=scale,
    )
    url = Rollout(graph.name, settings, timeout_s).start(service, Trial())
    return Endpoint(graph.name, url, content, settings=settings, steps=steps)


def _build(
    graph: Declared, steps: tuple[Step, ...], settings: Settings, tap: TapSource | None, http: HttpOptions
) -> Callable[[], HttpApp]:
    """What runs in each replica to make its application."""
    name, rescue = graph.name, graph.rescue
    tails = packed_tails(name, steps, rescue, settings=settings, tap=tap)

    def build() -> HttpApp:
        vector = next((step.subject for step in steps if step.kind == "enrich"), None)
        live = LiveFigures(name, http.version)
        outside = Outside(meters=live.meters)
        made = compiled(name, steps, rescue=rescue, settings=settings, tap=tap, outside=outside)
        if tails:
            made = replace(made, opened=(*made.opened, started(tails)))
        return graph_app(made, http, request_types=dict(getattr(vector, "request", {})), worked=live.worked)

    return build
