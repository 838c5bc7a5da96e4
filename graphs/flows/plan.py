"""Which steps run where: together in the ingress, or in replicas of their own.

A hop between replicas costs a thousand times what a step costs, so steps stay together unless they cannot, or one asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ...autoscaling.scale import Scale
from ...runtime.errors import DefinitionError
from ...runtime.resources import Resources
from .queue_cut import Tail, cut_at_queues
from .step import Step, walk

INGRESS = "ingress"
_LEAST_CPUS = 0.5


@dataclass(frozen=True, slots=True)
class Part:
    """Steps that share replicas: what a replica asks, how many there are, and why these steps stand together.

    `steps` holds those that follow each other; steps inside a branch, router or parallel step go where it goes, unless
    they have a part of their own.
    """

    name: str
    steps: tuple[Step, ...]
    resources: Resources
    scale: Scale
    packages: tuple[str, ...]
    reason: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its steps, those inside others too."""
        return tuple(step.name for step in walk(self.steps))


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts of a graph: the one that takes the requests, those it calls, and what stands behind queues. Prints as a
    table."""

    graph: str
    ingress: Part
    parts: tuple[Part, ...] = ()
    tails: tuple[Part, ...] = ()

    def __str__(self) -> str:
        cut = {name for part in self.parts for name in part.names}
        here = [name for name in self.ingress.names if name not in cut]
        rows: list[tuple[str, ...]] = [("part", "steps", "replicas", "each asks", "packages", "why")]
        rows += [_row(self.ingress, here), *(_row(part, part.names) for part in (*self.parts, *self.tails))]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        count = len(rows) - 1
        return "\n".join([f"{self.graph}: {count} part{'s' if count > 1 else ''}", *lines])


@dataclass(frozen=True, slots=True)
class _Place:
    """What steps must have in common to share a replica."""

    has_gpu: bool
    packages: tuple[str, ...]
    scale: Scale
    isolate: bool = False


def plan(graph: str, steps: Sequence[Step], *, scale: Scale | None = None, resources: Resources | None = None) -> Plan:
    """Where the steps run; `scale` and `resources` are what the ingress was given (default: what its steps ask).

    Raises `DefinitionError` where an explain step is asked to stand apart from its model.
    """
    whole = scale or Scale()
    steps, behind = cut_at_queues(steps)
    working = [step for step in walk(steps) if step.kind != "respond" and not step.routes]
    places = {_place(step, whole) for step in working if step.kind != "explain"}
    only = next(iter(places)) if len(places) == 1 else None
    is_one = only is not None and not only.isolate and (scale is None or only.scale == scale)
    base = only if is_one and only is not None else _Place(False, (), whole)
    if resources is not None and resources.gpu:
        base = _Place(True, base.packages, base.scale)
    parts = tuple(_part(run, place, base) for place, run in _runs(graph, steps, base, whole))
    cut = {name for part in parts for name in part.names}
    needs = resources or _needs([step for step in walk(steps) if step.name not in cut], _LEAST_CPUS)
    reason = "takes the requests" + ("; what asks for nothing else stays with it" if parts else "; one part is fastest")
    ingress = Part(INGRESS, tuple(steps), needs, base.scale, base.packages, reason)
    return Plan(graph, ingress, parts, tuple(_tail(tail) for tail in behind))


def _runs(graph: str, steps: Sequence[Step], base: _Place, whole: Scale) -> Iterator[tuple[_Place, tuple[Step, ...]]]:
    """The steps that follow each other and share a place which is not the ingress."""
    run: list[Step] = []
    at: _Place | None = None
    for step in steps:
        place = _explain_place(graph, step, run, at) if step.kind == "explain" else _apart(step, base, whole)
        if run and at is not None and place != at:
            yield at, tuple(run)
            run = []
        at = place
        if place is not None:
            run.append(step)
            continue
        for _, route in step.routes:
            yield from _runs(graph, route, base, whole)
    if run and at is not None:
        yield at, tuple(run)


def _explain_place(graph: str, step: Step, run: Sequence[Step], at: _Place | None) -> _Place | None:
    if step.options.isolate:
        raise DefinitionError(f"{graph}: {step.name!r} cannot stand apart from its model: isolate the predict step")
    return at if any(one.kind == "predict" for one in walk(run)) else None


def _apart(step: Step, base: _Place, whole: Scale) -> _Place | None:
    """Where a step stands, None for the ingress. What has steps inside stands apart only where it asks itself."""
    if step.kind == "respond" or (step.routes and not step.options.isolate):
        return None
    place = _place(step, whole)
    # What needs no GPU runs as well where there is one.
    return None if replace(place, has_gpu=place.has_gpu or base.has_gpu) == base else place


def _place(step: Step, whole: Scale) -> _Place:
    inside = walk([step])
    packages = {name for one in inside for name in one.options.packages}
    options = step.options
    has_gpu = any(one.resources.gpu for one in inside)
    return _Place(has_gpu, tuple(sorted(packages)), options.scale or whole, options.isolate)


def _part(run: tuple[Step, ...], place: _Place, base: _Place) -> Part:
    needs = _needs(walk(run))
    reasons = ["it asks for replicas of its own" if len(run) == 1 else "they ask for replicas of their own"]
    if not place.isolate:
        reasons = []
        if place.has_gpu and not base.has_gpu:
            reasons.append(f"{needs.gpu:g} GPU, the ingress has none")
        if place.packages != base.packages:
            reasons.append(f"needs {', '.join(place.packages)}" if place.packages else "other packages")
        if place.scale != base.scale:
            reasons.append("scales by itself")
    return Part(run[0].name, run, needs, place.scale, place.packages, ", ".join(reasons))


def _tail(tail: Tail) -> Part:
    """A replica of the ingress has the consumers of a queue beside it."""
    steps = tuple(step for step in tail.steps if step.kind != "respond")
    scale = Scale(min=tail.rule.workers, max=tail.rule.workers)
    why = "behind a queue: works through it beside each replica of the ingress"
    return Part(tail.name, steps, _needs(walk(steps)), scale, (), why)


def _needs(steps: Sequence[Step], least_cpus: float = 0.0) -> Resources:
    """What steps ask that share a replica; half a CPU where none says what it needs."""
    cpus = sum(step.resources.cpus for step in steps)
    gpu = sum(step.resources.gpu for step in steps)
    custom: dict[str, float] = {}
    for step in steps:
        for name, amount in step.resources.custom.items():
            custom[name] = custom.get(name, 0.0) + amount
    return Resources(
        cpus=max(least_cpus, cpus) or _LEAST_CPUS,
        gpu=gpu if gpu <= 1 else math.ceil(gpu),
        memory_bytes=sum(step.resources.memory_bytes for step in steps),
        custom=custom,
    )


def _row(part: Part, names: Sequence[str]) -> tuple[str, ...]:
    scale, needs = part.scale, part.resources
    asks = [f"{needs.cpus:g} CPU", f"{needs.gpu:g} GPU" if needs.gpu else ""]
    asks += [f"{needs.memory_bytes >> 20} MiB" if needs.memory_bytes else ""]
    asks += [f"{amount:g} {name}" for name, amount in needs.custom.items()]
    replicas = f"{scale.min}" if scale.min == scale.max else f"{scale.min}-{scale.max}"
    cells = (part.name, ", ".join(names), replicas, ", ".join(filter(None, asks)), ", ".join(part.packages) or "-")
    return (*cells, part.reason)
