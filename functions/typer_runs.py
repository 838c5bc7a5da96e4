"""`eagleray runs`: the tracked runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.errors import InputError, NotFoundError
from ..runtime.rich_output import show_one, show_rows
from ..runtime.settings import Settings
from ..runtime.typer_options import AsJson

if TYPE_CHECKING:
    from .runs.mlflow_runs import MLflowRuns
    from .runs.run import Run

app = typer.Typer(no_args_is_help=True, help="The tracked runs.")
RunId = Annotated[str, typer.Argument(metavar="ID", help="A run's id, its first characters, or 'last'.")]
_SHORT = 8
_EMPTY = "no run yet: fn.run(...) or `eagleray run FILE:FN` makes one"


@app.command("list")
def list_runs(
    experiment: Annotated[str | None, typer.Option(help="Only this one's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    from .runs import sqlite_runs

    settings = Settings.from_env()
    database = settings.home / "mlflow.db"
    found = None
    if settings.tracking_uri is None and database.exists():
        found = sqlite_runs.recent(database, experiment=experiment, limit=limit)
    if found is None:
        runs = _runs()
        found = runs.find(experiment=experiment, limit=limit) if runs is not None else []
    show_rows([_row(run, short=not as_json) for run in found], as_json=as_json, empty=_EMPTY)


@app.command()
def show(run_id: RunId, as_json: AsJson = False) -> None:
    """Show one run: parameters, metrics, code, files."""
    runs, run = _one(run_id)
    fields = _row(run, short=False) | {"params": dict(run.params), "metrics": dict(run.metrics), "tags": dict(run.tags)}
    files = runs.artifacts(run.id)
    failed = {} if as_json or "error.txt" not in files else {"": (runs.artifact(run.id, "error.txt") or b"").decode()}
    show_one(fields | {"files": files}, as_json=as_json)
    for text in failed.values():
        print(text)


@app.command()
def logs(run_id: RunId) -> None:
    """Print what a run printed and logged."""
    runs, run = _one(run_id)
    text = (runs.artifact(run.id, "log.txt") or b"").decode()
    print(text, end="" if text.endswith("\n") or not text else "\n")


@app.command()
def compare(
    run_ids: Annotated[list[str], typer.Argument(metavar="ID ID ...", help="Two runs or more.")],
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show runs side by side: the parameters and metrics that differ."""
    if len(run_ids) < 2:
        raise InputError("compare takes two runs or more: `eagleray runs list` names them")
    found = [_one(run_id)[1] for run_id in run_ids]
    show_rows(
        compared(found, everything=everything),
        as_json=as_json,
        empty="no parameter and no metric differs; --all shows them",
    )


def compared(runs: list[Run], *, everything: bool) -> list[dict[str, object]]:
    """A row a parameter or metric, a column a run; only those that differ unless `everything`."""
    rows: list[dict[str, object]] = []
    for kind in ("params", "metrics"):
        for name in sorted({name for run in runs for name in getattr(run, kind)}):
            values = [getattr(run, kind).get(name) for run in runs]
            if everything or len(set(values)) > 1:
                cells = {run.id[:_SHORT]: "" if one is None else one for run, one in zip(runs, values, strict=True)}
                rows.append({"kind": kind[:-1], "name": name, **cells})
    return rows


def _runs() -> MLflowRuns | None:
    """None where no run was ever made: then nothing is made here either."""
    settings = Settings.from_env()
    if settings.tracking_uri is None and not (settings.home / "mlflow.db").exists():
        return None
    from .runs.tracking import run_store

    return run_store(settings)


def _one(run_id: str) -> tuple[MLflowRuns, Run]:
    runs = _runs()
    if runs is None:
        raise NotFoundError(_EMPTY)
    if len(run_id) == 32:
        return runs, runs.read(run_id)
    found = runs.find()
    matching = found[:1] if run_id == "last" else [run for run in found if run.id.startswith(run_id)]
    if not matching:
        raise NotFoundError(f"no run {run_id!r}: `eagleray runs list` names them")
    if len(matching) > 1:
        raise InputError(f"{len(matching)} runs begin with {run_id!r}: give more of it")
    return runs, matching[0]


def _row(run: Run, *, short: bool) -> dict[str, object]:
    duration = run.duration_s
    started = datetime.fromtimestamp(run.started_ms / 1000, UTC).isoformat(timespec="seconds")
    row: dict[str, object] = {
        "run": run.id[:_SHORT] if short else run.id, "experiment": run.experiment, "name": run.name,
        "status": run.status, "started": started, "duration_s": None if duration is None else round(duration, 3),
    }  # fmt: skip
    if short:
        row["duration_s"] = "" if duration is None else f"{duration:.2f}"
        row["metrics"] = "  ".join(f"{name}={value:.4g}" for name, value in run.metrics.items())
    return row
