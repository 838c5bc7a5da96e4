"""The builder: a serving graph declared step by step, and checked as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from ..autoscaling.scale import Scale
from ..functions.models.reason_codes import ReasonCodes
from ..runtime.errors import DefinitionError
from ..runtime.resources import Resources
from ..runtime.settings import Settings
from .flows.aiohttp_remote import RemoteCall
from .flows.check import check_name, check_steps
from .flows.choices import Named, Weighted
from .flows.ports import Vector
from .flows.predictors import declared, declared_together, explained
from .flows.routes import OTHERWISE, THEN
from .flows.step import Step, numbered, walk
from .flows.step_options import StepOptions
from .flows.subjects import is_async
from .keeping_steps import KeepingSteps

if TYPE_CHECKING:
    from ..featurestore.store import FeatureStore
    from ..functions.http.http_app import HttpApp, HttpOptions
    from .flows.plan import Plan
    from .flows.table_flow import Errors
    from .pictures.svg import Picture
    from .serving.deployment import DeployOptions
    from .serving.endpoint import Endpoint


class Graph(KeepingSteps):
    """Steps from a request to its answer.

        g = Graph("fraud")
        g.to(check).to(g.enrich(fraud)).to(g.predict("models:/fraud@champion")).respond()

    A plain function or class takes the request's body (or the `Event`, when its parameter is called `event`) and
    gives a new body, or None to leave it. Raises `DefinitionError` and `ModelMismatch` where the step is added.
    """

    def __init__(self, name: str) -> None:
        check_name(name)
        self.name = name
        self.rescue: Callable[..., Any] | None = None
        self._steps: list[Step] = []

    def __repr__(self) -> str:
        return f"Graph({self.name!r}: {' -> '.join(step.name for step in self._steps) or 'no steps yet'})"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in order."""
        return tuple(self._steps)

    def to(self, step: Any, *, name: str | None = None, input: str = "", result: str = "") -> Graph:  # noqa: A002
        """Adds a step, a function or class as one, or several: a list, or another graph's; returns the graph.

        The function reads the place `input` of the body ("user.address") and its result is put at the place `result`
        (default: the whole body, both).
        """
        made = self._way(step, name)
        if input or result:
            if len(made) != 1:
                raise DefinitionError(f"{self.name}: input and result are one step's; {len(made)} are given")
            made = (made[0].at(input=input, result=result),)
        made = numbered(made, {one.name for one in walk(self._steps)})
        check_steps(self.name, [*self._steps, *made])
        self._steps += made
        return self

    def step(self, function: Callable[..., Any], *, name: str | None = None) -> Step:
        """A function or class as a step, for what `to` does not say: `g.to(g.step(look_up).retry(3).timeout(2))`."""
        return Step.calling(function, name=name)

    def check(self, rule: Callable[..., Any], *, name: str | None = None) -> Step:
        """A rule that refuses a request by raising `InputError`, or by returning False or a text that says why."""
        return Step.calling(rule, kind="check", name=name)

    def enrich(self, vector: Vector, *, defaults: Mapping[str, float] | None = None, name: str | None = None) -> Step:
        """Reads the vector's features for the request, all in one round trip; `defaults` stand where one is null."""
        if not hasattr(vector, "name"):
            raise DefinitionError(f"{self.name}: cannot enrich with {vector!r}; give a FeatureVector")
        return Step("enrich", name or "enrich", vector, options=StepOptions(defaults=tuple((defaults or {}).items())))

    def predict(
        self,
        model: Any,
        *,
        features: Sequence[str] = (),
        background: Any = None,
        cpus: float = 0.0,
        gpu: float = 0.0,
        name: str | None = None,
    ) -> Step:
        """Scores the features (or, without enrich, the body's fields of the model's names).

        `model` is a `Model`, one of XGBoost, LightGBM or scikit-learn, a loaded `mlflow.pyfunc` model, or an address
        like "models:/fraud@champion", which is looked up at `deploy`; `features` names, in order, what a model takes
        that does not know it. The score is the probability of the positive class, one probability a class where
        there are more, or the value. `background` (a frame, or rows x features: what it usually sees) makes a model
        that cannot be explained one that can, by `SampledShapley`. Raises `DefinitionError`.
        """
        names = tuple(features) if not isinstance(features, str) else ()
        found = declared(self.name, model, features)
        if background is not None:
            found = explained(self.name, found, background)
        return Step("predict", name or "predict", found, Resources(cpus=cpus, gpu=gpu), names)

    def ensemble(
        self,
        models: Mapping[str, Any],
        *,
        combine: Any = "mean",
        weights: Mapping[str, float] | None = None,
        name: str = "ensemble",
    ) -> Step:
        """Scores with several models, given like `predict`'s; takes the features of all of them.

        `combine` is "mean", "median", "max", "vote" (the share of models at or above 0.5; of classes, the share that
        puts each first), "margins" (their mean, before the common link: this one can be explained) or a function of
        the matrix, n x models, that gives n scores. Each model's own are in `event.values["scores"]`:
        `respond("scores")`. Raises `DefinitionError`.
        """
        return Step("predict", name, declared_together(self.name, models, combine, weights))

    def explain(self, *, reasons: ReasonCodes | None = None, name: str | None = None) -> Step:
        """Adds each feature's contribution to every answer; POST /<graph>/explain needs no such step.

        With `reasons`, or a model that carries reason codes, also why in words; they are kept with the decision.
        """
        return Step("explain", name or "explain", reasons)

    def filter(self, predicate: Callable[..., Any], *, name: str | None = None) -> Step:
        """Lets only those go on that the predicate says yes to; the others' answer is null."""
        return Step.calling(predicate, kind="filter", name=name)

    def flatten(self, items: str | Callable[..., Any], *, name: str | None = None) -> Step:
        """Makes an event of each dict in a list: the one at that place of the body, or what the function returns.

        The answer is then the list of their answers.
        """
        if isinstance(items, str):
            return Step("flatten", name or f"flatten-{items}", items)
        return Step.calling(items, kind="flatten", name=name)

    def map_items(self, function: Callable[..., Any], *, over: str, result: str = "", name: str | None = None) -> Step:
        """Calls the function for each item of the list at the place `over`; the results stand there, or at `result`."""
        return Step.calling(function, kind="map", name=name).at(input=over, result=result)

    def branch(
        self, predicate: Callable[..., Any], *, then: Any = (), otherwise: Any = (), name: str | None = None
    ) -> Step:
        """Goes one way where the predicate says yes and the other where it says no; either may be empty."""
        step = Step.calling(predicate, kind="branch", name=name)
        return self._routed(step, {THEN: then, OTHERWISE: otherwise})

    def router(
        self,
        ways: Mapping[str, Any],
        *,
        by: str | Callable[..., Any] = "",
        weights: Mapping[str, float] | None = None,
        default: str | None = None,
        name: str = "router",
    ) -> Step:
        """Goes the way that a field of the body (or a function) names, or one by its share.

        Without `weights`, `by` names the way and `default` is taken for other names. With them, `by` is the field that
        decides (default: the event's id): equal values go the same way.
        """
        if weights is not None:
            if callable(by) or default is not None:
                raise DefinitionError(f"{self.name}: a router by weight takes a field for by= and no default=")
            return self._routed(Step("router", name, Weighted.of(weights, by=by)), ways)
        if not by:
            raise DefinitionError(f"{self.name}: a router needs by=, a field or a function, or weights=")
        return self._routed(Step("router", name, Named(by, default)), ways)

    def parallel(
        self, ways: Mapping[str, Any], *, join: Callable[..., Any] | None = None, name: str = "parallel"
    ) -> Step:
        """Goes all ways at once, each with a copy of the event; async steps of different ways wait together.

        `join` makes the new body of a dict with each way's body (with its "score" where it predicts); by default the
        body gets what each way has written into it.
        """
        return self._routed(Step("parallel", name, join), ways)

    def remote(
        self, url: str, *, timeout_s: float = 10.0, headers: Mapping[str, str] | None = None, name: str = "remote"
    ) -> Step:
        """POSTs the body (or what stands at its `input`) as JSON to another service; its answer is the result."""
        return Step("remote", name, RemoteCall(url, timeout_s, dict(headers or {})))

    def tap(self, function: Callable[..., Any], *, name: str | None = None) -> Step:
        """Hands copies to a function in a thread of its own, which no answer waits for."""
        return Step.calling(function, kind="tap", name=name)

    def on_error(self, handler: Callable[..., Any]) -> Graph:
        """`handler(error, body)` gives the answer for a request that failed, or None to let the error stand."""
        if not callable(handler):
            raise DefinitionError(f"{self.name}: on_error takes a function of the error and the body")
        self.rescue = handler
        return self

    def respond(self, *selected: str | Callable[..., Any]) -> Graph:
        """Ends the graph: the answer is {"id", "score"}, the `selected` fields of values or body, and what functions
        of the event return as a dict. Without any, a graph that does not predict answers with the body."""
        functions = [item for item in selected if callable(item)]
        if len(functions) > 1:
            raise DefinitionError(f"{self.name}: respond takes one function; put the second into the first")
        fields = tuple(item for item in selected if isinstance(item, str))
        return self.to(Step("respond", "respond", functions[0] if functions else None, fields=fields))

    def test(
        self,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        store: FeatureStore | None = None,
        settings: Settings | None = None,
    ) -> Any:
        """The answer to one body (or a list of them), computed in this process with no server."""
        from .flows.compile import Compiled

        with Compiled.of(self, store=store, settings=settings) as compiled:
            return compiled.flow.test(body)

    def map(
        self,
        data: object,
        *,
        store: FeatureStore | None = None,
        settings: Settings | None = None,
        batch_rows: int = 4096,
        workers: int | None = None,
        errors: Errors = "raise",
    ) -> Any:
        """The answers to a whole dataset: a Polars, pandas or Arrow frame gives such a frame, computed here; a Ray
        Dataset, or the path of Parquet files, gives a Ray Dataset, computed when it is read, by `workers` that take
        `batch_rows` at a time.

        A row that a step drops has no answer, one that is flattened has several; there is an `id` where the rows have
        one. A row that fails ends it with the step's name, or, with `errors="column"`, has its error there. Steps that
        take tables, enrich, predict, check and filter work on whole columns while they come first.
        """
        from .serving.map_options import MapOptions
        from .serving.mapped import mapped

        options = MapOptions(batch_rows=batch_rows, workers=workers, errors=errors)
        return mapped(self, data, store=store, settings=settings, options=options)

    def http_app(self, http: HttpOptions) -> HttpApp:
        """The graph as an ASGI application for this process; features are read from the environment's store."""
        from .flows.compile import Compiled
        from .serving.asgi import graph_app

        return graph_app(Compiled.of(self), http)

    def plan(self, *, scale: Scale | None = None, resources: Resources | None = None) -> Plan:
        """Which steps run where when it is deployed, and why: print it. `scale` and `resources` as for `deploy`."""
        from .flows.plan import plan

        return plan(self.name, self._steps, scale=scale, resources=resources)

    def deploy(
        self,
        *,
        canary: float | None = None,
        shadow: bool = False,
        store: FeatureStore | None = None,
        settings: Settings | None = None,
        **options: Unpack[DeployOptions],
    ) -> Endpoint:
        """Serves the graph over HTTP and returns when it answers; the same content again changes nothing.

        Steps run where `plan()` says. Where a version runs already, `canary=10` gives this one 10 % of the requests,
        `shadow=True` copies of them. Further keywords: `scale`, `resources`, `tap`, `warm_up`, `timeout_s`, see
        `eagleray.graphs.serving.deployment.DeployOptions`. Raises `DeploymentError` with the reason.
        """
        from ..functions.rollouts.rollout import Trial
        from .serving.deployment import Serving
        from .serving.endpoint import deploy

        where = settings or (store.settings if store is not None else None) or Settings.from_env()
        return deploy(self, Serving(where, Trial(canary, shadow), **options))

    def plot(self) -> Picture:
        """The graph as a picture: boxes and arrows from the request to the answer; `.save("graph.svg")` keeps it."""
        from .pictures.flow_diagram import flow_diagram
        from .pictures.svg import drawn

        return drawn(flow_diagram(self.name, self._steps))

    def _repr_svg_(self) -> str:
        return self.plot().svg

    def _routed(self, step: Step, ways: Mapping[str, Any]) -> Step:
        if is_async(step.subject) or is_async(getattr(step.subject, "by", None)):
            raise DefinitionError(
                f"{self.name}: {step.kind} {step.name!r} decides at once; await what it needs in an async step before"
            )
        return replace(step, routes=tuple((way, self._way(inside, None)) for way, inside in ways.items()))

    def _way(self, item: Any, name: str | None, within: tuple[int, ...] = ()) -> tuple[Step, ...]:
        """The steps that something stands for: a step, a function or class, a graph, or several of them in order."""
        if item is self or id(item) in within:
            raise DefinitionError(f"{self.name}: a graph cannot contain itself: a step would come after its own end")
        if isinstance(item, Step):
            return (item if name is None else item.named(name),)
        if isinstance(item, Graph):
            return tuple(step for step in item.steps if step.kind != "respond")
        if isinstance(item, list | tuple):
            return tuple(step for one in item for step in self._way(one, None, (*within, id(item))))
        return (Step.calling(item, name=name),)
