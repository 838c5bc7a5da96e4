"""A serving graph's steps as boxes and arrows, from the request to the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ..flows.choices import Named, Weighted
from ..flows.meter import Figures
from ..flows.step import Step
from .diagram import Arrow, Box, Diagram

REQUEST, ANSWER = "\0request", "\0answer"
_Ends = list[tuple[str, str]]  # boxes whose arrows go on to what comes next, each with the arrow's label


def flow_diagram(name: str, steps: Sequence[Step], *, figures: Mapping[str, Figures] | None = None) -> Diagram:
    """The steps; `figures` are written below those that have some."""
    drawing = _Drawing(figures or {})
    drawing.boxes.append(Box(REQUEST, "request", "end"))
    ends = drawing.chain(steps, [(REQUEST, "")])
    drawing.boxes.append(Box(ANSWER, "answer", "end"))
    drawing.join(ends, ANSWER)
    return Diagram(name, tuple(drawing.boxes), tuple(drawing.arrows))


class _Drawing:
    """Boxes and arrows so far."""

    def __init__(self, figures: Mapping[str, Figures]) -> None:
        self.boxes: list[Box] = []
        self.arrows: list[Arrow] = []
        self._figures = figures

    def chain(self, steps: Sequence[Step], ends: _Ends) -> _Ends:
        for step in steps:
            if step.kind == "respond" and not (step.fields or step.subject):
                continue
            found = self._figures.get(step.name)
            notes = (*_notes(step), *([str(found)] if found is not None else []))
            self.boxes.append(Box(step.name, step.name, step.kind, notes, dashed=step.options.isolate))
            self.join(ends, step.name)
            ends = [(step.name, "")]
            if step.routes:
                ends = [end for way, route in step.routes for end in self.chain(route, [(step.name, _way(step, way))])]
                ends = self._joined(step, ends)
        return ends

    def join(self, ends: _Ends, key: str) -> None:
        self.arrows += [Arrow(end, key, label) for end, label in ends]

    def _joined(self, step: Step, ends: _Ends) -> _Ends:
        if step.kind != "parallel":
            return ends
        key = f"{step.name}\0join"
        word = "join" if step.subject is None else getattr(step.subject, "__name__", "join").strip("<>")
        self.boxes.append(Box(key, word, step.kind))
        self.join(ends, key)
        return [(key, "")]


def _way(step: Step, way: str) -> str:
    rule = step.subject
    if isinstance(rule, Weighted):
        total = sum(weight for _, weight in rule.weights)
        return f"{way} {100 * dict(rule.weights)[way] / total:.3g} %"
    return f"{way} *" if isinstance(rule, Named) and rule.default == way else way


def _notes(step: Step) -> tuple[str, ...]:
    """What is worth knowing of a step, in few words a line."""
    options = step.options
    makers: Sequence[tuple[Any, Callable[[Any], str]]] = (
        (_subject(step), str),
        (step.resources.gpu, lambda gpu: f"gpu {gpu:g}"),
        (options.input and f"{options.input} ->" if options.input else "", str),
        (options.result, lambda path: f"-> {path}"),
        (options.state, lambda rule: f"by {'.'.join(rule.path)}"),
        (options.queue, lambda rule: f"{rule.workers} worker{'s' if rule.workers > 1 else ''} behind it"),
        (options.cache, lambda cache: f"cached {cache.ttl_s:g} s"),
        (options.gathering, lambda rule: f"batches of {rule.max_size}, {rule.wait_ms:g} ms"),
        (options.retries, lambda retries: f"{retries.attempts} retries"),
        (options.timeout_s, lambda limit: f"within {limit:g} s"),
        (options.is_guarded and not options.waits, lambda _: "has a fallback"),
        (options.isolate, lambda _: "replicas of its own"),
    )
    return tuple(told(value) for value, told in makers if value)


def _subject(step: Step) -> str:
    subject = step.subject
    if step.kind == "enrich":
        return str(subject.name)
    if step.kind == "predict":
        if isinstance(subject, str):
            return subject
        name = str(getattr(subject, "name", "") or type(subject).__name__)
        version = getattr(subject, "version", "")
        return f"{name} v{version}" if version else name
    if step.kind == "remote":
        place = urlsplit(subject.url)  # without what may be secret: user, password, query
        return f"{place.hostname}{f':{place.port}' if place.port else ''}{place.path}"
    if step.kind == "respond":
        return ", ".join(step.fields)
    return "" if step.kind in ("call", "branch") or step.name.startswith(step.kind) else step.kind
