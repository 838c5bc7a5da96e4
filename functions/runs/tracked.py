"""A function whose calls are tracked runs: opened before the call, ended after it, whichever way it ends."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypedDict, TypeVar

from ...runtime import bundle
from ...runtime.errors import DefinitionError, did_you_mean
from ...runtime.secret import Reveal, masked
from ...runtime.settings import Settings
from ...runtime.task_body import Body
from ..calls.spec import FunctionSpec
from .current_run import CurrentRun
from .git_state import GitState, git_state
from .recording import recorded
from .run import Run, Table
from .table_content import table_of
from .tracked_run import TrackedRun
from .tracking import run_store

if TYPE_CHECKING:
    from .mlflow_runs import MLflowRuns

P = ParamSpec("P")
R = TypeVar("R")
_MOST_TEXT = 500  # characters of a parameter


class TrackOptions(TypedDict, total=False):
    """The keywords of `fn.tracked(...)`; every one may be left out.

    `name` of the run and `experiment` it belongs to (default: the function's name), `on` ("here", in this process,
    or "ray", as a task with what the function asks for), `tags`, `parent` (the id of a run that this one is part of),
    `settings` (default: the environment's).
    """

    name: str
    experiment: str
    on: Literal["here", "ray"]
    tags: Mapping[str, str]
    parent: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Tracked(Generic[P, R]):
    """See `Function.tracked`; `run` takes the function's arguments and nothing else."""

    fn: Callable[P, R]
    spec: FunctionSpec
    opening: Run
    settings: Settings
    on: str = "here"

    def run(self, *args: P.args, **kwargs: P.kwargs) -> TrackedRun[R]:
        """Calls the function and returns its value with the run; raises what the function raises.

        The run ends as FINISHED, as FAILED where the function raises, as KILLED where Ctrl-C or an exit ends it.
        """
        params, tables = described(self.fn, args, kwargs)
        runs = run_store(self.settings)
        with self._secrets():
            opening = replace(self.opening, params={name: masked(text) for name, text in params.items()})
            run_id = runs.open(opening)
            try:
                runs.write(run_id, opening)
                if tables:
                    runs.add_inputs(run_id, tables)
                value = self._called(run_id, args, kwargs)
            except BaseException as error:
                self._failed(runs, run_id, error)
                raise
            runs.end(run_id, "FINISHED")
            return TrackedRun(value, runs.read(run_id), self.settings)

    def _secrets(self) -> Any:
        """So that no parameter or error text holds one; what runs elsewhere finds and masks them there."""
        here = self.on == "here" and self.spec.secrets
        return Reveal(self.spec.secrets, self.settings.home)() if here else nullcontext()

    def _called(self, run_id: str, args: Any, kwargs: Any) -> Any:
        experiment, settings = self.opening.experiment, self.settings
        if self.on == "here":
            run = CurrentRun(run_id, experiment, run_store(settings))
            return Body(recorded(self.fn, lambda: run), self.spec).call(args, kwargs)
        from ...runtime.ray_tasks import Tasks, fetched

        # What a worker needs of the settings, and none of the passwords.
        there = Settings(home=settings.home, tracking_uri=settings.tracking_uri)

        def attach() -> CurrentRun:
            runs = run_store(there)
            runs.check_visible(run_id)
            return CurrentRun(run_id, experiment, runs)

        call = Tasks[Any](recorded(self.fn, attach), self.spec)
        return fetched(call.submit(args, kwargs), self.spec.name)

    def _failed(self, runs: MLflowRuns, run_id: str, error: BaseException) -> None:
        try:
            written_as_failed(runs, run_id, self.opening.experiment, error)
        finally:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            error.add_note(f"run {run_id} {status.lower()}: `eagleray runs show {run_id[:8]}` shows it")


def written_as_failed(runs: MLflowRuns, run_id: str, experiment: str, error: BaseException) -> None:
    """Ends a run as FAILED with its error; as KILLED where Ctrl-C or an exit ended it."""
    first = (str(error).strip().splitlines() or [""])[0]
    text = masked(f"{_type_name(error)}: {first}")[:_MOST_TEXT]
    runs.write(run_id, Run(experiment, tags={"error": text}))
    runs.end(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")


def tracked(fn: Callable[P, R], spec: FunctionSpec, options: TrackOptions) -> Tracked[P, R]:
    """A function with what its runs are called and where they run; raises `DefinitionError` for a wrong option."""
    unknown = set(options) - set(TrackOptions.__annotations__)
    if unknown:
        name = sorted(unknown)[0]
        raise DefinitionError(
            f"{spec.name}.tracked: no option {name!r}{did_you_mean(name, TrackOptions.__annotations__)}"
        )
    on: str = options.get("on", "here")
    if on not in ("here", "ray"):
        raise DefinitionError(f'{spec.name}.tracked: on={on!r}; give "here" or "ray"')
    opening = Run(
        experiment=options.get("experiment") or spec.name,
        name=options.get("name") or spec.name,
        tags={**code_tags(fn), "on": on, **options.get("tags", {})},
        parent=options.get("parent", ""),
    )
    return Tracked(fn, spec, opening, options.get("settings") or Settings.from_env(), on)


def described(fn: Callable[..., Any], args: Any, kwargs: Any) -> tuple[dict[str, str], list[Table]]:
    """The arguments as texts by name, defaults too, and the tables among them; raises `TypeError` as a call would."""
    bound = inspect.signature(fn).bind(*args, **kwargs)
    bound.apply_defaults()
    params, tables = {}, []
    for name, value in _flat(inspect.signature(fn), bound.arguments):
        table = table_of(name, value)
        if table is not None:
            tables.append(table)
        params[name] = str(table) if table is not None else _text(value)
    return params, tables


def _flat(signature: inspect.Signature, arguments: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The arguments by name, those of `**kwargs` by their own."""
    found: list[tuple[str, Any]] = []
    for name, value in arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            found += list(value.items())
        else:
            found.append((name, value))
    return found


def _text(value: Any) -> str:
    if isinstance(value, str | os.PathLike):
        text = str(value)
    else:
        try:
            text = json.dumps(value)
        except (TypeError, ValueError):
            shape = getattr(value, "shape", None)
            text = repr(value) if shape is None else f"{_type_name(value)} {' x '.join(map(str, shape))}"
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 3]}..."


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def code_tags(
    fn: Callable[..., Any], *, state_of: Callable[[str | None], GitState | None] = git_state
) -> dict[str, str]:
    """What is known of a function's code: its name, its hash, the commit that its file is at (by `state_of`)."""
    plain: Any = inspect.unwrap(getattr(fn, "cls", fn))
    tags = {"function": f"{plain.__module__}.{plain.__qualname__}", "code.hash": bundle.content_hash(fn)}
    code = getattr(plain, "__code__", None)
    state = state_of(code.co_filename if code is not None else None)
    if state is not None:
        tags |= {
            "git.commit": state.commit, "git.dirty": str(state.dirty).lower(), "mlflow.source.git.commit": state.commit,
        }  # fmt: skip
    return tags
