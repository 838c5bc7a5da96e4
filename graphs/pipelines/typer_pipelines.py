"""`eagleray pipeline`: batch pipelines, run, resumed and looked at."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...runtime.errors import EaglerayError, InputError, NotFoundError, did_you_mean
from ...runtime.rich_output import show_json, show_one, show_rows
from ...runtime.settings import Settings
from ...runtime.typer_options import AsJson

if TYPE_CHECKING:
    from .pipeline import Pipeline
    from .pipeline_run import PipelineRun

app = typer.Typer(no_args_is_help=True, help="Batch pipelines: run, resume, look at.")

Target = Annotated[str, typer.Argument(metavar="FILE:PIPELINE", help="For instance train.py:pipeline.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its first characters, or 'last'.")]
On = Annotated[str, typer.Option(help='"here", or "ray" for tasks with what each step asks for.')]
AtOnce = Annotated[int | None, typer.Option("--at-once", min=1, help="So many steps at the same time, at most.")]
Track = Annotated[bool, typer.Option("--track/--no-track", help="Keep a run and one a step in MLflow.")]
_SHORT = 8


@app.command()
def run(
    target: Target,
    param: Annotated[list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE")] = None,
    on: On = "here",
    at_once: AtOnce = None,
    track: Track = True,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline: eagleray pipeline run train.py:pipeline --param days=60."""
    found = load(target)
    given = parameters(found, param or [])
    words: dict[str, Any] = {"on": on, "at_once": at_once, "track": track}
    _show(_ran(lambda: found.run(**words, **given)), as_json=as_json)


@app.command()
def resume(
    target: Target,
    run_id: RunId = "last",
    on: Annotated[str, typer.Option(help="Default: where it ran before.")] = "",
    at_once: AtOnce = None,
    track: Track = True,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that failed, was stopped or died: what has finished is not run again."""
    found = load(target)
    where: Any = on or None
    _show(_ran(lambda: found.resume(run_id, on=where, at_once=at_once, track=track)), as_json=as_json)


@app.command()
def plan(target: Target, as_json: AsJson = False) -> None:
    """Show what runs after what, without running it."""
    found = load(target)
    if as_json:
        show_json(found.as_dict())
    else:
        print(found.plan())


@app.command("list")
def list_runs(
    pipeline: Annotated[str | None, typer.Option(help="Only this one's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the runs of pipelines, the latest first."""
    from .pipeline_run import records

    rows = [
        {
            "run": one.id if as_json else one.id[:_SHORT], "pipeline": one.pipeline, "status": status,
            "started": _time(one.started_us), "duration_s": _seconds(one.duration_s, as_json),
            "parameters": dict(one.shown) if as_json else "  ".join(f"{k}={v}" for k, v in one.shown.items()),
        }
        for one, status in records(Settings.from_env(), pipeline=pipeline, limit=limit)
    ]  # fmt: skip
    empty = "no run yet: p.run() or `eagleray pipeline run FILE:PIPELINE` makes one"
    show_rows(rows, as_json=as_json, empty=empty)


@app.command()
def show(run_id: RunId = "last", as_json: AsJson = False) -> None:
    """Show one run: its parameters and its steps, what each gave or why it did not run."""
    from .pipeline_run import find

    _show(find(run_id, Settings.from_env()), as_json=as_json)


def load(target: str) -> Pipeline:
    """The pipeline of "train.py:pipeline" or "package.module:pipeline"; raises `InputError`, `NotFoundError`."""
    from ...runtime.user_module import module_at
    from .pipeline import Pipeline

    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise InputError(f"{target!r} names no pipeline: write FILE:PIPELINE, for instance train.py:pipeline")
    module = module_at(place)
    found = getattr(module, name, None)
    if isinstance(found, Pipeline):
        return found
    known = [key for key, value in vars(module).items() if isinstance(value, Pipeline)]
    if found is None:
        raise NotFoundError(f"{place} has no pipeline {name!r}{did_you_mean(name, known)}")
    raise InputError(f"{target} is a {type(found).__name__}, no Pipeline{did_you_mean(name, known)}")


def parameters(pipeline: Pipeline, texts: Sequence[str]) -> dict[str, Any]:
    """Parameters from NAME=VALUE texts, read by their types; raises `InputError`, `DefinitionError`."""
    from ...functions.calls.pydantic_signature import Signature

    given: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--param {text}: write --param NAME=VALUE")
        given.setdefault(name.strip().replace("-", "_"), []).append(value)
    unknown = [name for name in given if name not in {one.name for one in pipeline.parameters}]
    if unknown:
        pipeline.checked(dict.fromkeys(unknown))  # says so
    called = pipeline.as_function()
    hints = {one.name: one.hint for one in pipeline.parameters}
    # Only the given ones: the run itself says which are missing.
    return Signature.of(_only(called, given), hints=hints).parse_texts(given)[1]


def _only(called: Callable[..., Any], names: dict[str, list[str]]) -> Callable[..., Any]:
    import inspect

    def given() -> None:
        """Stands for the pipeline with the parameters that the command line names."""

    taken = [one for name, one in inspect.signature(called).parameters.items() if name in names]
    given.__name__ = called.__name__
    given.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    return given


def _ran(start: Callable[[], PipelineRun]) -> PipelineRun:
    from ...functions.runs.recording import user_frames

    try:
        return start()
    except EaglerayError as error:
        for note in getattr(error, "__notes__", []):
            print(note, file=sys.stderr)
        raise
    except Exception as error:  # noqa: BLE001 - the user's own, shown with the user's own frames
        print(user_frames(error), end="", file=sys.stderr)
        raise typer.Exit(1) from None


def _show(found: PipelineRun, *, as_json: bool) -> None:
    from .pipeline_run import status_of

    record = found.record
    head: dict[str, object] = {
        "run": record.id, "pipeline": record.pipeline, "status": status_of(record, found.settings),
        "started": _time(record.started_us), "duration_s": _seconds(record.duration_s, as_json),
        "parameters": dict(record.shown), "tracked": record.tracked, "error": record.error,
    }  # fmt: skip
    steps = [
        {
            "step": name, "status": one.status, "duration_s": _seconds(one.duration_s, as_json),
            "gave": one.record.about, "error": one.record.error,
            "tracked": one.tracked if as_json else one.tracked[:_SHORT],
        }
        for name, one in found.steps.items()
    ]  # fmt: skip
    if as_json:
        show_json({**head, "steps": steps})
        return
    show_one({name: value for name, value in head.items() if value}, as_json=False)
    show_rows(steps, as_json=False, empty="no step has begun")


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")


def _seconds(value: float | None, exact: bool) -> object:
    if exact:
        return None if value is None else round(value, 3)
    return "" if value is None else f"{value:.2f}"
