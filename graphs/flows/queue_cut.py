"""Where a graph is cut: a queue, and the steps that stand behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...runtime.errors import DefinitionError
from .step import Step, walk
from .step_options import QueueRule


@dataclass(frozen=True, slots=True)
class Tail:
    """The steps behind a queue, as far as the next one; `rule` is the queue's."""

    name: str
    rule: QueueRule
    steps: tuple[Step, ...]


def cut_at_queues(steps: Sequence[Step]) -> tuple[tuple[Step, ...], tuple[Tail, ...]]:
    """The steps up to the first queue, and the tails; each ends with its queue, if any, and the graph's respond."""
    respond = tuple(step for step in steps if step.kind == "respond")
    pieces: list[list[Step]] = [[]]
    queues = []
    for step in steps:
        if step.kind == "respond":
            continue
        pieces[-1].append(step)
        if step.kind == "queue":
            queues.append(step)
            pieces.append([])
    front, *behind = ((*piece, *respond) for piece in pieces)
    return front, tuple(_tail(queue, piece) for queue, piece in zip(queues, behind, strict=True))


def _tail(queue: Step, steps: tuple[Step, ...]) -> Tail:
    assert queue.options.queue is not None
    return Tail(queue.name, queue.options.queue, steps)


def check_queues(graph: str, steps: Sequence[Step]) -> None:
    """Whether queues stand where a graph can be cut; raises `DefinitionError`."""
    for step in walk(steps):
        for way, route in step.routes:
            for inner in route:
                if inner.kind == "queue":
                    raise DefinitionError(
                        f"{graph}: queue {inner.name!r} stands in the way {way!r} of {step.name!r}; what comes behind "
                        "one is not joined again, so put it on the main way"
                    )
