"""`eagleray submit` and `eagleray jobs`: calls that go on when this shell has ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.rich_output import show_one, show_rows
from ..runtime.settings import Settings
from ..runtime.typer_options import AsJson
from .typer_run import Target, called

if TYPE_CHECKING:
    from .runs.job import Job

app = typer.Typer(no_args_is_help=True, help="The jobs of the cluster that stays (eagleray up, or RAY_ADDRESS).")
JobId = Annotated[str, typer.Argument(metavar="ID", help="A job's id.")]


def submit(
    context: typer.Context,
    target: Target,
    wait: Annotated[bool, typer.Option("--wait", help="Print what it prints, until it has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a function as a job of its own: eagleray submit [OPTIONS] FILE:FN [its own flags]."""
    call = called(context, target, wait=wait, as_json=as_json)
    job: Job[object] = call.function.submit(*call.args, **call.kwargs)
    if not call.own["wait"]:
        show_one({"job": job.id, "status": job.status}, as_json=call.own["as_json"])
        return
    for text in job.follow():
        print(text, end="", flush=True)
    raise typer.Exit(0 if job.status == "SUCCEEDED" else 1)


@app.command("list")
def list_jobs(as_json: AsJson = False) -> None:
    """List the jobs, newest first."""
    from ..runtime.ray_jobs import RayJobs

    rows = [
        {
            "job": job.id, "function": job.function, "status": job.status,
            "started": datetime.fromtimestamp(job.started_ms / 1000, UTC).isoformat(timespec="seconds"),
        }
        for job in RayJobs(Settings.from_env()).all()
    ]  # fmt: skip
    show_rows(rows, as_json=as_json, empty="no job yet: fn.submit(...) or `eagleray submit FILE:FN` starts one")


@app.command()
def logs(
    job_id: JobId, follow: Annotated[bool, typer.Option("--follow", "-f", help="Until it has ended.")] = False
) -> None:
    """Print what a job has printed."""
    from .runs.job import Job

    job: Job[object] = Job(job_id)
    for text in job.follow() if follow else [job.logs()]:
        print(text, end="", flush=True)


@app.command()
def stop(job_id: JobId) -> None:
    """End a job."""
    from .runs.job import Job

    job: Job[object] = Job(job_id)
    job.stop()
    print(f"job {job_id} {job.wait(60).lower()}")
