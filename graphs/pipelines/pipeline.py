"""The builder: functions composed into a pipeline, checked while it is written."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ...functions.function import Function
from ...runtime.errors import DefinitionError, did_you_mean
from ...runtime.retries import Retries
from ...runtime.schedule import Timing
from ...runtime.settings import Settings
from .binding import Bound, as_function, bound, result_hint, spec_of
from .hints import fits, hints_of
from .node import Edge, FromNode, FromParameter, Kind, Node, Source, edges_of
from .parameter import NO_DEFAULT, Parameter
from .picture import as_dict, plan_text
from .reference import Condition, Reference, hint_of, source_of

if TYPE_CHECKING:
    from ...functions.runs.job import Job
    from ...functions.runs.schedule import Schedule
    from ..pictures.svg import Picture
    from .pipeline_run import PipelineRun

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_STEP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
# What `run`, `schedule` and `step` take for themselves.
_RUN_WORDS = ("on", "at_once", "track", "settings")
_SCHEDULE_WORDS = ("every", "name", "timezone", "catch_up", "overlap")
_STEP_WORDS = ("name", "retries", "cache", "when", "after", "over")


class Pipeline:
    """Functions composed into a graph that is run as a whole, here or on a cluster.

        p = Pipeline("train-fraud")
        days = p.parameter("days", 30)
        data = p.step(load, days=days)
        model = p.step(train, data, retries=2, cache=True)
        scores = p.step(evaluate, model, data)
        p.step(deploy, model, when=p.when(is_better, scores))
        parts = p.map(fit, over=data["parts"])      # a step for every item; the list of their results
        run = p.run(days=60)

    A step is a plain function or an eagleray function; what it returns is kept by content (see `contents`), so that
    a run goes on after a crash where it was, and a cached step is not computed twice. All that can be wrong is told
    where it is written, by a `DefinitionError`.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DefinitionError(f"{name!r} cannot name a pipeline: letters, digits, '.', '_' and '-' can")
        self.name = name
        self._parameters: dict[str, Parameter] = {}
        self._nodes: dict[str, Node] = {}

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}: {' -> '.join(self._nodes) or 'no steps yet'})"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters in the order they were declared."""
        return tuple(self._parameters.values())

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The steps, maps and conditions; each stands behind all that it needs."""
        return tuple(self._nodes.values())

    @property
    def edges(self) -> tuple[Edge, ...]:
        """What goes from a node or a parameter to a node."""
        return tuple(edge for node in self._nodes.values() for edge in edges_of(node))

    def as_dict(self) -> dict[str, Any]:
        """Nodes, edges and parameters as plain values, for JSON and pictures."""
        return as_dict(self.name, self.parameters, self.nodes, self.edges)

    def plan(self) -> str:
        """What runs after what, with what it asks for: a line a node."""
        return plan_text(self.name, self.parameters, self.nodes)

    def plot(self) -> Picture:
        """Parameters and steps as a picture; also what a notebook shows."""
        from ..pictures.svg import drawn
        from .pipeline_diagram import pipeline_diagram

        return drawn(pipeline_diagram(self.name, self.parameters, self.nodes, self.edges))

    def _repr_svg_(self) -> str:
        return self.plot().svg

    def parameter(self, name: str, default: object = NO_DEFAULT, *, type: Any = None) -> Reference:  # noqa: A002
        """A value that a run is given; without a default every run names it.

        `type` is that of the default, or what the first function that takes it asks for.
        """
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise DefinitionError(f"{self.name}: {name!r} cannot name a parameter: it becomes an argument of run()")
        if name in _RUN_WORDS:
            raise DefinitionError(f"{self.name}: run() has an argument {name!r} of its own: call the parameter another")
        if name in self._parameters:
            raise DefinitionError(f"{self.name}: there is a parameter {name!r} already: declare it once")
        hint = type if type is not None else Any if default is NO_DEFAULT or default is None else hint_of(default)
        if default is not NO_DEFAULT and not fits(hint_of(default), hint):
            raise DefinitionError(f"{self.name}: the default of {name}, {default!r}, is no {hint}")
        self._parameters[name] = Parameter(name, hint, default)
        return Reference(self, FromParameter(name), hint)

    def step(
        self,
        fn: Callable[..., Any] | Function[..., Any],
        /,
        *args: object,
        name: str | None = None,
        retries: int | Retries | None = None,
        cache: bool = False,
        when: Condition | Reference | None = None,
        after: Reference | Sequence[Reference] = (),
        **kwargs: object,
    ) -> Reference:
        """Adds a call of a function and gives a reference to its output, which other steps take as an argument.

        `name` is the function's unless given. `retries` (2, or a `Retries`) runs a step again that raises. With `cache`
        a step whose code and inputs were seen before gives what it gave then. `when` skips it, and what takes
        its output; it runs after the steps in `after` have ended, be they skipped.
        """
        words = {"name": name, "retries": retries, "cache": cache, "when": when, "after": after}
        return self._add("step", fn, (args, kwargs), words)

    def map(
        self,
        fn: Callable[..., Any] | Function[..., Any],
        /,
        *args: object,
        over: object,
        name: str | None = None,
        retries: int | Retries | None = None,
        cache: bool = False,
        when: Condition | Reference | None = None,
        after: Reference | Sequence[Reference] = (),
        **kwargs: object,
    ) -> Reference:
        """Adds a call for every item of a list, the item being the first argument; gives the list of their results.

        Items run at the same time, are cached, retried and resumed each for itself; they are called NAME[0], NAME[1].
        """
        words = {"name": name, "retries": retries, "cache": cache, "when": when, "after": after}
        return self._add("map", fn, (args, kwargs), words, over=over)

    def when(
        self, fn: Callable[..., Any] | Function[..., Any], /, *args: object, name: str | None = None, **kwargs: object
    ) -> Condition:
        """A condition for `when=`: a quick function of outputs and parameters, asked once a run, where that is driven.

        Its verdict is kept with the run. `~condition` is the opposite.
        """
        return Condition(self._add("when", fn, (args, kwargs), {"name": name}))

    def run(
        self,
        *,
        on: Literal["here", "ray"] = "here",
        at_once: int | None = None,
        track: bool = True,
        settings: Settings | None = None,
        **parameters: object,
    ) -> PipelineRun:
        """Runs all steps and returns when they have ended; raises the error of the step that failed.

        `on="here"` runs them in this process (independent ones on threads), `on="ray"` as Ray tasks with what each asks
        for; `at_once` is how many at most. A tracked run has a child a step in MLflow. After a failure no further step
        begins; those that run end, and `resume` goes on from there. Ctrl-C ends the run as KILLED: on Ray its tasks are
        ended, here its threads as soon as they are back in Python code.
        """
        from .start import RunOptions, start

        run = start(self, parameters, RunOptions(on, at_once, track, settings or Settings.from_env()))
        return run.of(self)

    def resume(
        self,
        run_id: str = "last",
        *,
        on: Literal["here", "ray"] | None = None,
        at_once: int | None = None,
        track: bool = True,
        settings: Settings | None = None,
    ) -> PipelineRun:
        """Goes on with a run that failed, was stopped or whose process died: what has finished is not run again.

        `run_id` may be its first characters, or "last". The steps may have other code than before, not other names and
        connections. Raises `NotFoundError`, `InputError` for a run that still goes on here; one that another machine
        drives is taken over, and what that one still writes is refused.
        """
        from .start import RunOptions, resume

        run = resume(self, run_id, RunOptions(on or "", at_once, track, settings or Settings.from_env()))
        return run.of(self)

    def runs(self, *, limit: int = 20, settings: Settings | None = None) -> list[PipelineRun]:
        """This pipeline's runs, the latest first."""
        from .pipeline_run import PipelineRun, records

        where = settings or Settings.from_env()
        return [PipelineRun(one.id, where, self) for one, _ in records(where, pipeline=self.name, limit=limit)]

    def as_function(self) -> Function[..., PipelineRun]:
        """The pipeline as a function of its parameters, by name: for jobs, schedules and `eagleray run`."""
        from .as_function import as_function as made

        return made(self)

    def submit(self, **parameters: object) -> Job[PipelineRun]:
        """Starts a run as a Ray job of its own, its steps as Ray tasks; it goes on when this process has ended."""
        self._check_to_be_stored(parameters)
        return self.as_function().submit(**parameters)

    def schedule(self, *args: Any, **words: Any) -> Schedule:
        """Runs it at its times, as a job each: `p.schedule("0 3 * * *", days=60)`; see `Function.schedule`."""
        own = () if args and isinstance(args[0], Timing) else _SCHEDULE_WORDS
        self._check_to_be_stored({name: value for name, value in words.items() if name not in own})
        return self.as_function().schedule(*args, **words)

    def _check_to_be_stored(self, given: dict[str, object]) -> None:
        """A job's parameters are stored with it: what is wrong with them is told here, not in the job."""
        from .leaks import check_inputs

        check_inputs(self.nodes, self.checked(given), Settings.from_env().home)

    def checked(self, given: dict[str, object]) -> dict[str, object]:
        """A run's parameters with their defaults; raises `DefinitionError` for unknown, missing and ill-typed ones."""
        unknown = [name for name in given if name not in self._parameters]
        if unknown:
            near = did_you_mean(unknown[0], self._parameters)
            raise DefinitionError(f"{self.name}: no parameter {unknown[0]!r}{near}")
        return {one.name: one.checked(self.name, given) for one in self._parameters.values()}

    def _add(
        self,
        kind: Kind,
        fn: Callable[..., Any] | Function[..., Any],
        given: tuple[tuple[object, ...], dict[str, object]],
        words: dict[str, Any],
        *,
        over: object = None,
    ) -> Reference:
        found = as_function(fn, words["name"])
        name = self._new_name(words["name"] or found.spec.name)
        if kind == "map" and over is None:
            raise DefinitionError(f"{self.name}: {name} goes over None: over= takes a list")
        self._check_words(name, found, given, words if kind != "map" else {**words, "over": over})
        call = bound(self, name, found, given, over=over)
        self._adopt(found, call)
        gate, negated = self._gate(name, words.get("when"))
        self._nodes[name] = Node(
            name, kind, found, spec_of(found, name, words.get("retries")), call.args, call.kwargs, labels=call.labels,
            over=source_of(over, self, f"{name}: over") if kind == "map" else None, when=gate, negated=negated,
            after=self._ordered(name, words.get("after", ())),
            cache=bool(words.get("cache")),
        )  # fmt: skip
        hint = result_hint(found)
        return Reference(self, FromNode(name), list.__class_getitem__(hint) if kind == "map" else hint)

    def _adopt(self, found: Function[..., Any], call: Bound) -> None:
        """A parameter of no known type is what the first function asks for that takes it."""
        hints = hints_of(found.callable)
        for label, source in (*zip(call.labels, call.args, strict=True), *call.kwargs):
            if not isinstance(source, FromParameter) or source.path:
                continue
            one, hint = self._parameters[source.name], hints.get(label, Any)
            if one.hint is Any and (one.required or fits(type(one.default), hint)):
                self._parameters[one.name] = replace(one, hint=hint)

    def _new_name(self, name: str) -> str:
        if not isinstance(name, str) or not _STEP_NAME.fullmatch(name):
            raise DefinitionError(f"{self.name}: {name!r} cannot name a step: letters, digits, '.', '_' and '-' can")
        if name in self._nodes:
            raise DefinitionError(f"{self.name}: there is a step {name!r} already: call this one another with name=")
        if name in self._parameters:
            raise DefinitionError(f"{self.name}: {name!r} is a parameter: call the step another with name=")
        return name

    def _check_words(
        self, name: str, found: Function[..., Any], given: tuple[tuple[object, ...], Any], words: dict[str, Any]
    ) -> None:
        """A function's own argument that is called like a word of `step` can only be given by place."""
        taken = inspect.signature(found).parameters
        placed = list(taken)[: len(given[0]) + ("over" in words)]
        for word in _STEP_WORDS:
            if words.get(word) not in (None, False, ()) and word in taken and word not in placed:
                raise DefinitionError(
                    f"{self.name}: {name} has an argument {word!r} of its own, and {word}= is the step's: "
                    "give the argument by place, or wrap the function in one of your own"
                )

    def _gate(self, name: str, when: object) -> tuple[Source | None, bool]:
        if when is None:
            return None, False
        if isinstance(when, Condition):
            return source_of(when.output, self, f"{name}: when"), when.negated
        if isinstance(when, Reference):
            return source_of(when, self, f"{name}: when"), False
        raise DefinitionError(
            f"{self.name}: {name}: when={when!r} is known now: give p.when(fn, ...), an output or a parameter"
        )

    def _ordered(self, name: str, after: object) -> tuple[str, ...]:
        names = []
        for one in after if isinstance(after, list | tuple) else (after,):
            source = source_of(one, self, f"{name}: after")
            if not isinstance(source, FromNode):
                raise DefinitionError(f"{self.name}: {name}: after= takes what p.step(...) has given, not {one!r}")
            names.append(source.node)
        return tuple(dict.fromkeys(names))
