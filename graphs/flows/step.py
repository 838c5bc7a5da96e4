"""The steps a graph is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from ...autoscaling.scale import Scale
from ...runtime.errors import DefinitionError
from ...runtime.resources import Resources
from ...runtime.retries import Retries
from .paths import check_path
from .step_options import CacheRule, Gathering, StepOptions

Kind = Literal[
    "check", "enrich", "predict", "explain", "call", "filter", "flatten", "map", "branch", "router", "parallel",
    "remote", "tap", "queue", "state", "respond",
]  # fmt: skip
Routes = tuple[tuple[str, tuple["Step", ...]], ...]
FREE = Resources(cpus=0.0)


class Declared(Protocol):
    """A graph, for those who run it: its name, its steps in order, and what answers for what failed."""

    @property
    def name(self) -> str: ...

    @property
    def steps(self) -> tuple[Step, ...]: ...

    @property
    def rescue(self) -> Callable[..., Any] | None: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its kind, its name in errors and pictures, and its subject.

    The subject is a function or class, a vector (enrich), a model or its address (predict), a rule that chooses a way
    (router), or None. `routes` are the ways of a branch, router or parallel step, `fields` the names a respond step
    selects, or those of a model's features. The methods give changed copies.
    """

    kind: Kind
    name: str
    subject: Any = None
    resources: Resources = FREE
    fields: tuple[str, ...] = ()
    routes: Routes = ()
    options: StepOptions = field(default_factory=StepOptions)

    def __post_init__(self) -> None:
        if not self.name:
            raise DefinitionError(f"a {self.kind} step has no name: give it one with name=")

    @classmethod
    def calling(cls, subject: Any, *, kind: Kind = "call", name: str | None = None) -> Step:
        """A step that calls a function, or a class that is made (with its `setup`) once a replica.

        A function decorated with `@function` brings its resources and packages along.
        """
        if not callable(subject):
            raise DefinitionError(f"{subject!r} is no step: give a function, a class with __call__, or a graph's step")
        made = str(name or getattr(subject, "__name__", type(subject).__name__)).strip("<>")
        if isinstance(subject, type) and not any("__call__" in vars(base) for base in subject.__mro__):
            raise DefinitionError(f"class {made} cannot run as a step: give it a __call__(self, body)")
        spec = getattr(subject, "spec", None)
        if spec is None:
            return cls(kind, made, subject)
        options = StepOptions(packages=spec.packages, scale=spec.scale)
        needs = spec.resources if spec.resources != Resources() else FREE
        return cls(kind, made, subject.callable, needs, options=options)

    def named(self, name: str) -> Step:
        """Under another name."""
        return replace(self, name=name)

    def at(self, *, input: str = "", result: str = "") -> Step:  # noqa: A002 - MLRun's and AWS's word for it
        """Reads that place of the body ("user.address") and puts its result at that place, whatever type it has."""
        if self.kind not in ("check", "call", "map", "remote", "filter"):
            raise DefinitionError(f"{self.kind} {self.name!r} has no input and result paths: it works on the event")
        for path in (input, result):
            if path:
                check_path(path)
        return self._with(input=input, result=result)

    def batch(self, *, max_size: int = 32, wait_ms: float = 0.0) -> Step:
        """Concurrent requests share a call of up to `max_size` events; the first waits at most `wait_ms` for others."""
        if self.kind not in ("enrich", "predict", "explain"):
            raise DefinitionError(f"{self.kind} {self.name!r} works on one event at a time: batch() is for models")
        return self._with(gathering=Gathering(max_size, wait_ms))

    def cache(
        self, *, ttl_s: float, key: str | Sequence[str] | Callable[[Any], object] = (), max_entries: int = 10_000
    ) -> Step:
        """Keeps results `ttl_s` seconds in each replica; `key` are the fields they depend on, or a function of the
        input (default: all of it)."""
        if self.kind not in ("call", "remote"):
            raise DefinitionError(f"{self.kind} {self.name!r} is not cached: cache() is for functions and remote calls")
        fields = key if callable(key) else (key,) if isinstance(key, str) else tuple(key)
        return self._with(cache=CacheRule(ttl_s, fields, max_entries))

    def retry(self, retries: int | Retries = 3) -> Step:
        """Runs again for events it failed on, with a backoff; never for an `InputError`, which would come again."""
        made = retries if isinstance(retries, Retries) else Retries(retries, on=(Exception,), backoff_s=0.1)
        return self._single("retry", retries=made)

    def timeout(self, seconds: float) -> Step:
        """Events that it takes longer for fail with a `TimeoutError`."""
        return self._single("timeout", timeout_s=float(seconds))

    def fallback(self, value: Any) -> Step:
        """What counts as the step's result where it fails: a value, or a function of the body."""
        return self._with(fallback=value)

    def on_error(self, handler: Callable[..., Any]) -> Step:
        """`handler(error, body)` gives what counts as the result, or None to let the error stand."""
        if not callable(handler):
            raise DefinitionError(f"{self.name}: on_error takes a function of the error and the body")
        return self._with(on_error=handler)

    def threads(self, count: int = 4) -> Step:
        """Runs in threads, so that its work does not hold up other requests."""
        return self._single("threads", threads=count)

    def isolate(self, *, scale: Scale | None = None, packages: Sequence[str] = ()) -> Step:
        """Gets replicas of its own when deployed, with `packages` installed."""
        return self._with(isolate=True, scale=scale, packages=tuple(packages) or self.options.packages)

    def idempotent(self, is_so: bool = True) -> Step:
        """Says whether doing it twice is as good as once, which is taken for granted: where it has replicas of its own,
        what was under way when one of them died is done again by another."""
        return self._with(idempotent=is_so)

    def needs(self, *, cpus: float = 0.0, gpu: float = 0.0, memory_bytes: int = 0) -> Step:
        """What it asks of the replica it runs in."""
        return replace(self, resources=Resources(cpus=cpus, gpu=gpu, memory_bytes=memory_bytes))

    def _single(self, verb: str, **changes: Any) -> Step:
        if self.routes or self.kind == "respond":
            raise DefinitionError(f"{verb} is not for {self.kind} {self.name!r}: give it to the steps inside")
        return self._with(**changes)

    def _with(self, **changes: Any) -> Step:
        if self.kind == "flatten" and StepOptions(**changes).is_guarded:
            raise DefinitionError(
                f"flatten {self.name!r} takes no {', '.join(changes)}: make the list in a step before"
            )
        return replace(self, options=replace(self.options, **changes))


# A request counts here each time it comes.
_COUNTING = ("state", "queue")
# Names that nobody chose, so that a number tells two of them apart.
_UNCHOSEN = ("lambda", "enrich", "predict", "ensemble", "explain", "router", "parallel", "remote")


def numbered(steps: Sequence[Step], taken: set[str]) -> tuple[Step, ...]:
    """The steps with names that nobody chose made different from those `taken`; a chosen one stays as it is."""
    made = []
    for step in steps:
        name, number = step.name, 2
        while step.name in _UNCHOSEN and name in taken:
            name, number = f"{step.name}-{number}", number + 1
        taken.add(name)
        made.append(replace(step, name=name, routes=tuple((way, numbered(one, taken)) for way, one in step.routes)))
    return tuple(made)


def may_repeat(steps: Sequence[Step]) -> bool:
    """True where doing them twice is as good as once: they are known, none says otherwise, and none counts requests."""
    inside = walk(steps)
    return bool(inside) and all(step.options.idempotent and step.kind not in _COUNTING for step in inside)


def walk(steps: Sequence[Step]) -> list[Step]:
    """The steps and those of their routes, in the order of their trip."""
    return [one for step in steps for one in (step, *walk([inner for _, route in step.routes for inner in route]))]
