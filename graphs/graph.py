"""The builder: a serving graph declared step by step, and checked as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..autoscaling.scale import Scale
from ..runtime.errors import DefinitionError
from ..runtime.resources import Resources
from ..runtime.settings import Settings
from .flows.check import check_name, check_next
from .flows.step import Predictor, Step, TapSource, Vector

if TYPE_CHECKING:
    from ..featurestore.store import FeatureStore
    from .serving.endpoint import Endpoint


class Graph:
    """Steps from a request to its answer, in one replica.

        g = Graph("fraud")
        g.to(check).to(g.enrich(fraud)).to(g.predict("models:/fraud@champion")).respond()

    A plain function or class takes the request's body (or the `Event`, when its parameter is called `event`) and
    gives a new body, or None to leave it. Raises `DefinitionError` and `ModelMismatch` where the step is added.
    """

    def __init__(self, name: str) -> None:
        check_name(name)
        self.name = name
        self._steps: list[Step] = []

    def __repr__(self) -> str:
        return f"Graph({self.name!r}: {' -> '.join(step.name for step in self._steps) or 'no steps yet'})"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in order."""
        return tuple(self._steps)

    def to(self, step: Step | Callable[..., Any], *, name: str | None = None) -> Graph:
        """Adds a step, or a function or class as one; returns the graph for the next."""
        made = step if isinstance(step, Step) else Step.calling(step, name=name)
        check_next(self.name, self._steps, made)
        self._steps.append(made)
        return self

    def check(self, rule: Callable[..., Any], *, name: str | None = None) -> Step:
        """A rule that refuses a request by raising `InputError`, or by returning False or a text that says why."""
        return Step.calling(rule, kind="check", name=name)

    def enrich(self, vector: Vector, *, name: str | None = None) -> Step:
        """Reads the vector's features for the request, all in one round trip."""
        if not hasattr(vector, "name"):
            raise DefinitionError(f"{self.name}: cannot enrich with {vector!r}; give a FeatureVector")
        return Step("enrich", name or "enrich", vector)

    def predict(self, model: str | Predictor, *, cpus: float = 0.0, gpu: float = 0.0, name: str | None = None) -> Step:
        """Scores the features (or, without enrich, the body's fields of the model's names).

        `model` is a model or its address, like "models:/fraud@champion", which is looked up at `deploy`.
        """
        if isinstance(model, str):
            if not model.startswith("models:/"):
                raise DefinitionError(f"{self.name}: no model address {model!r}; write 'models:/NAME@ALIAS'")
        elif not (hasattr(model, "features") and hasattr(model, "predict")):
            raise DefinitionError(f"{self.name}: {model!r} is no model; give a Model or 'models:/NAME@ALIAS'")
        return Step("predict", name or "predict", model, Resources(cpus=cpus, gpu=gpu))

    def explain(self, *, name: str | None = None) -> Step:
        """Adds each feature's contribution to every answer; POST /<graph>/explain needs no such step."""
        return Step("explain", name or "explain")

    def respond(self, *selected: str | Callable[..., Any]) -> Graph:
        """Ends the chain: the answer is {"id", "score"}, the `selected` fields of values or body, and what functions
        of the event return as a dict."""
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

    def deploy(
        self,
        *,
        store: FeatureStore | None = None,
        settings: Settings | None = None,
        scale: Scale | None = None,
        resources: Resources | None = None,
        tap: TapSource | None = None,
        timeout_s: float = 90.0,
    ) -> Endpoint:
        """Serves the graph over HTTP and returns when it answers; the same content again changes nothing.

        `resources` is what a replica asks (default: the steps' own, at least half a CPU). `tap` opens, in each
        replica, what takes a copy of the traffic (`Monitor(...).tap()`). Raises `DeploymentError` with the reason.
        """
        from .serving.endpoint import deploy

        where = settings or (store.settings if store is not None else None) or Settings.from_env()
        needs = resources or _summed(self._steps)
        return deploy(self, settings=where, scale=scale or Scale(), resources=needs, tap=tap, timeout_s=timeout_s)


def _summed(steps: Sequence[Step]) -> Resources:
    """What the steps ask together; they share one replica."""
    cpus = sum(step.resources.cpus for step in steps)
    return Resources(cpus=max(0.5, cpus), gpu=sum(step.resources.gpu for step in steps))
