"""Steps that run in another part's replicas: here they are a stage that sends events there and takes what comes back.

What arrives in one turn of the event loop travels in one call.
"""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...runtime.errors import DefinitionError
from .chain import Stage
from .event import Batch, Event
from .features import Predict
from .plan import Plan
from .ports import Floats, Predictor
from .step import FREE, Step, may_repeat, walk
from .step_options import StepOptions
from .travel import EXPLAIN, RUN, WARM, WARMING, leaves, packed_event, take_answer

Call = Callable[[bytes, bool], Awaitable[bytes]]
"""Asks one of a part's replicas; `True` where it may be asked again when the replica died before it answered.

Raises `ServerUnavailable`."""
MAX_EVENTS = 256  # a call
MAX_BYTES = 4 << 20  # a call, unless one event is larger
Waiting = tuple[bytes, "asyncio.Future[bytes]"]


class AwayModel:
    """What stands where a model would, when the model itself is in another part."""

    def __init__(self, model: Predictor, step: str) -> None:
        self.features = tuple(model.features)
        self.name = str(getattr(model, "name", step))
        self.version = str(getattr(model, "version", ""))
        self.reasons = getattr(model, "reasons", None)
        self.threshold = getattr(model, "threshold", None)
        self._step = step
        self.call: Call | None = None

    def predict(self, rows: Floats) -> Floats:
        """Is never asked: the events go to the part."""
        raise DefinitionError(f"{self._step} predicts in its own replicas, not here")

    def explain(self, rows: Floats) -> Floats:
        """As `predict`."""
        raise DefinitionError(f"{self._step} explains in its own replicas, not here")

    async def aexplain(self, rows: Floats) -> Floats:
        """Contributions by the model where it is."""
        assert self.call is not None
        found: Floats = pickle.loads(await self.call(pickle.dumps((EXPLAIN, self._step, rows), 5), True))
        return found


@dataclass(frozen=True, slots=True)
class AwayPart:
    """What the ingress knows of a part: its name, the steps it stands for, its models by their steps."""

    name: str
    steps: tuple[str, ...]
    idempotent: bool
    models: Mapping[str, AwayModel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cut:
    """A graph in pieces: the `steps` of the ingress, in which those of `parts` are only names, and the steps of each
    part by its name."""

    steps: tuple[Step, ...]
    parts: tuple[AwayPart, ...]
    inside: Mapping[str, tuple[Step, ...]]


def cut(steps: Sequence[Step], plan: Plan) -> Cut:
    """The steps as the plan places them; models' addresses must have been looked up."""
    away: list[AwayPart] = []
    stand_ins: dict[str, Step] = {}
    inside: dict[str, tuple[Step, ...]] = {}
    found = {step.name: step for step in walk(steps)}
    for part in plan.parts:
        members = tuple(found[step.name] for step in part.steps)
        models = {s.name: AwayModel(s.subject, s.name) for s in walk(members) if s.kind == "predict"}
        # Features are put in their places by who knows their names.
        is_one = len(members) == 1 and members[0].kind != "enrich"
        for step in members:
            stand_ins[step.name] = _stand_in(step, models, is_alone=is_one)
        # What a lone step does about its errors is done in the ingress, where it also helps when the part is away.
        inside[part.name] = tuple(_bare(step) for step in members) if is_one else members
        away.append(AwayPart(part.name, tuple(step.name for step in members), may_repeat(members), models))
    return Cut(_replaced(steps, stand_ins), tuple(away), inside)


def _replaced(steps: Sequence[Step], stand_ins: Mapping[str, Step]) -> tuple[Step, ...]:
    return tuple(
        stand_ins.get(step.name)
        or replace(step, routes=tuple((way, _replaced(route, stand_ins)) for way, route in step.routes))
        for step in steps
    )


def _stand_in(step: Step, models: Mapping[str, AwayModel], *, is_alone: bool) -> Step:
    """The step's name and kind without what it runs."""
    given = step.options
    options = StepOptions(result=given.result, defaults=given.defaults)
    if is_alone:
        options = replace(
            options, retries=given.retries, timeout_s=given.timeout_s, fallback=given.fallback, on_error=given.on_error
        )
    routes = tuple((way, tuple(_stand_in(one, models, is_alone=False) for one in route)) for way, route in step.routes)
    subject = models.get(step.name) or (step.subject if step.kind in ("enrich", "explain") else None)
    return Step(step.kind, step.name, subject, FREE, step.fields, routes, options)


def _bare(step: Step) -> Step:
    plain = StepOptions()
    kept = {name: getattr(plain, name) for name in ("retries", "timeout_s", "fallback", "on_error")}
    return replace(step, options=replace(step.options, **kept))


def away_stages(parts: Sequence[AwayPart], calls: Mapping[str, Call]) -> Callable[[Step], Stage | None]:
    """What makes the stages of steps that stand in `parts`; None for the others. `calls` are by the part's name."""
    first = {part.steps[0]: part for part in parts}
    others = {name for part in parts for name in part.steps[1:]}

    def stage(step: Step) -> Stage | None:
        if step.name in others:
            return Stage(step.name, _nothing)
        part = first.get(step.name)
        if part is None:
            return None
        call = calls[part.name]
        for model in part.models.values():
            model.call = call
        kind = _AwayPredict if step.kind == "predict" and len(part.steps) == 1 else _Away
        return Stage.of(step.name, kind(step, part, call))

    return stage


def _nothing(_: Batch) -> None:
    """Has been done with the first step of its part."""


class _Away:
    """Sends events to a part; those of one turn of the event loop together."""

    is_async = True

    def __init__(self, step: Step, part: AwayPart, call: Call) -> None:
        self._name = step.name
        self._part = part
        self._call = call
        self._waiting: list[Waiting] = []
        self._calls: set[asyncio.Task[None]] = set()

    async def __call__(self, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        sent: list[tuple[Event, asyncio.Future[bytes]]] = []
        for event in batch.events:
            try:
                packed = packed_event(event)
            except Exception as error:  # noqa: BLE001 - it is the event's own end
                batch.fail(event, error, self._name)
                continue
            if not self._waiting:
                loop.call_soon(self._send)
            future: asyncio.Future[bytes] = loop.create_future()
            self._waiting.append((packed, future))
            sent.append((event, future))
        for event, outcome in zip(
            (event for event, _ in sent),
            await asyncio.gather(*(future for _, future in sent), return_exceptions=True),
            strict=True,
        ):
            if isinstance(outcome, bytes):
                take_answer(event, outcome, self._part.models)
            elif isinstance(outcome, Exception):
                event.error = outcome
            else:
                raise outcome
        self._settle(batch)

    def _settle(self, batch: Batch) -> None:
        going = []
        failed = {id(event) for event in batch.failed}
        for event in leaves(batch.events):
            if event.error is None:
                going.append(event)
            elif id(event) not in failed:
                batch.fail(event, event.error, self._name)
        batch.keep(going)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        group: list[Waiting] = []
        size = 0
        for one in waiting:
            if group and (len(group) == MAX_EVENTS or size + len(one[0]) > MAX_BYTES):
                self._begin(group)
                group, size = [], 0
            group.append(one)
            size += len(one[0])
        self._begin(group)

    def _begin(self, group: list[Waiting]) -> None:
        task = asyncio.ensure_future(self._ask(group))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _ask(self, group: list[Waiting]) -> None:
        found: Sequence[bytes | Exception]
        try:
            asked = pickle.dumps((WARM if WARMING.get() else RUN, [packed for packed, _ in group]), 5)
            found = pickle.loads(await self._call(asked, self._part.idempotent))
        except Exception as error:  # noqa: BLE001 - they all hear it
            found = [copy.copy(error) for _ in group]  # each is told about with its own notes
        for (_, future), outcome in zip(group, found, strict=True):
            if future.done():
                continue  # who asked has left
            if isinstance(outcome, bytes):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)


class _AwayPredict(_Away):
    """A predict step alone in its part: its fallback is a score."""

    def __init__(self, step: Step, part: AwayPart, call: Call) -> None:
        super().__init__(step, part, call)
        self._puts = Predict(step.name, step.subject)

    def put_instead(self, event: Event, score: Any) -> None:
        """Takes a number for the score."""
        self._puts.put_instead(event, score)
