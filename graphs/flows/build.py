"""From steps to stages: each kind by its maker, then what the step asks for is put around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .aiohttp_remote import RemoteService
from .cached import cached
from .calls import call_stage, each, putting
from .chain import Chain, Stage
from .choices import Named
from .features import Enrich, Explain, Predict
from .frame_hints import frame_kind
from .framed import Framed, framed_stage
from .gathered import gathered
from .guard import guarded
from .meter import Figures, metered
from .outside import Outside
from .queued import Queued
from .reshape import flatten_stage, keep_stage, map_stage
from .routes import AllOf, ByWeight, Choose, OneOf, by_name, by_predicate
from .stateful import Stateful
from .states import MemoryStates
from .step import Kind, Step, walk
from .step_options import Gathering
from .subjects import is_async, made
from .tapped import tap_stage
from .threaded import threaded
from .tuning import tunable

# These work on all rows at once, so that requests gain by travelling together.
JOINT = ("enrich", "predict", "explain", "state", "queue")
_WAITING = ("remote",)


def build(graph: str, steps: Sequence[Step], outside: Outside) -> Chain:
    """The steps as a chain; a respond step is the flow's own matter. Raises what a class's setup raises."""
    return _Builder(graph, steps, outside).chain(steps)


class _Builder:
    """Builds the chains of one graph."""

    def __init__(self, graph: str, steps: Sequence[Step], outside: Outside) -> None:
        self._graph = graph
        self._outside = outside
        # Requests that wait for something do not go the whole way together; so they meet at the joint steps.
        self._meets = outside.waits or any(_waits(step) for step in walk(steps))
        self._makers: Mapping[Kind, Callable[[Step], Stage]] = {
            "check": call_stage,
            "call": self._call,
            "filter": keep_stage,
            "flatten": flatten_stage,
            "map": map_stage,
            "enrich": self._enrich,
            "predict": lambda step: Stage.of(step.name, Predict(step.name, step.subject)),
            "explain": lambda step: Stage.of(step.name, Explain(step.name, step.subject, is_async=outside.waits)),
            "branch": lambda step: self._one_of(step, by_predicate(step.subject)),
            "router": self._router,
            "parallel": lambda step: Stage.of(step.name, AllOf(step, self._chains(step))),
            "remote": _remote,
            "tap": tap_stage,
            "state": self._state,
            "queue": self._queue,
        }

    def chain(self, steps: Sequence[Step]) -> Chain:
        return Chain([self._stage(step) for step in steps if step.kind != "respond"])

    def _stage(self, step: Step) -> Stage:
        elsewhere = self._outside.stages(step)
        if elsewhere is None and self._outside.changes is not None:
            step, change = tunable(step)
            if change is not None:
                self._outside.changes[step.name] = change
        stage = elsewhere or self._makers[step.kind](step)
        put = stage.put or putting(step)
        options = step.options
        threads = options.threads or (1 if options.timeout_s is not None and not stage.is_async else 0)
        if threads:
            stage = threaded(stage, threads)
        if self._outside.meters is not None:
            stage = metered(stage, self._outside.meters.setdefault(step.name, Figures()))
        is_joint = elsewhere is None and (step.kind in JOINT or isinstance(stage.run, Framed))
        if options.gathering is not None or (self._meets and is_joint):
            stage = gathered(stage, options.gathering or Gathering(max_size=256))
        return guarded(step, stage, put) if options.is_guarded else stage

    def _call(self, step: Step) -> Stage:
        kind = frame_kind(step.subject)
        return call_stage(step) if kind is None else framed_stage(step, kind)

    def _enrich(self, step: Step) -> Stage:
        reader = self._outside.reader(self._graph, step)
        return Stage.of(step.name, Enrich(step.name, reader, dict(step.options.defaults)))

    def _state(self, step: Step) -> Stage:
        states = self._outside.states or MemoryStates()
        return Stage.of(step.name, Stateful(self._graph, step, made(step.subject), states))

    def _queue(self, step: Step) -> Stage:
        queues = self._outside.queues
        assert queues is not None, "whoever compiles a graph with a queue says where it is"
        return Stage.of(step.name, Queued(step, queues))

    def _chains(self, step: Step) -> dict[str, Chain]:
        return {way: self.chain(steps) for way, steps in step.routes}

    def _one_of(self, step: Step, choose: Choose) -> Stage:
        return Stage.of(step.name, OneOf(step, self._chains(step), choose))

    def _router(self, step: Step) -> Stage:
        rule = step.subject
        if isinstance(rule, Named):
            return self._one_of(step, by_name(step, rule))
        shares = ByWeight(rule)
        if self._outside.changes is not None:
            self._outside.changes[step.name] = lambda settings: shares.change(settings or dict(rule.weights))
        return self._one_of(step, shares)


def _remote(step: Step) -> Stage:
    service = RemoteService(step.subject)
    call: Callable[[Any], Any] = service
    if step.options.cache is not None:
        call = cached(service, step.options.cache)
    stage = each(step, call, putting(step))
    return Stage(step.name, stage.run, is_async=True, close=service.close)


def _waits(step: Step) -> bool:
    """True for a step that other requests are worked on meanwhile."""
    options = step.options
    return bool(
        options.waits
        or options.threads
        or options.gathering
        or step.kind in _WAITING
        or is_async(step.subject)
        or is_async(options.on_error)
        or is_async(options.fallback)
    )
