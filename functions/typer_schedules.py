"""`eagleray schedule`: functions that run at their times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.errors import DefinitionError, did_you_mean
from ..runtime.rich_output import show_one, show_rows
from ..runtime.settings import Settings
from ..runtime.typer_options import AsJson
from .typer_run import HANDED_ON, Target, called

if TYPE_CHECKING:
    from ..runtime.schedule import Timing
    from ..runtime.schedule_entry import ScheduledRun
    from .runs.schedule import Schedule

app = typer.Typer(no_args_is_help=True, help="Functions that run at their times, on the cluster that stays.")
_RULES = (
    "--catch-up none, latest or all of the due times that nothing ran (latest); --overlap skip, allow or queue, while "
    "the run before goes on (skip)."
)
Name = Annotated[str, typer.Argument(help="The schedule's name.")]


@app.command(context_settings=HANDED_ON)
def add(
    context: typer.Context,
    target: Target,
    when: Annotated[str, typer.Option("--cron", "--every", help="'0 9 * * MON-FRI', @daily; 30s, 10m, 1h.")] = "",
    timezone: Annotated[str, typer.Option(help="Whose clock a cron rule means, for instance Europe/Berlin.")] = "UTC",
    rules: Annotated[list[str] | None, typer.Option("--catch-up", "--overlap", help=_RULES)] = None,
    name: Annotated[str, typer.Option(help="Of the schedule. Default: the function's name.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run a function at its times: eagleray schedule add --every 10m FILE:FN [its own flags].

    The same name again replaces a schedule.
    """
    from .runs.schedule import Planned, schedule

    call = called(context, target, when=when, timezone=timezone, rules=rules or [], name=name, as_json=as_json)
    timing = _timing(call.own["when"], call.own["timezone"], call.own["rules"])
    named = call.own["name"] or call.function.spec.name
    made = schedule(call.function, call.function.spec, Planned(timing, named, call.args, call.kwargs))
    show_one(_row(made), as_json=call.own["as_json"])


@app.command("list")
def list_schedules(as_json: AsJson = False) -> None:
    """List the schedules of this home, or of the cluster that RAY_ADDRESS names."""
    from .runs.schedule import Schedule

    settings = Settings.from_env()
    found = Schedule.all(settings)
    if found and settings.ray_address is not None:
        from ..runtime.ray_supervisor import ensure

        ensure(settings)  # a cluster that was made anew has no supervisor yet
    empty = "no schedule: fn.schedule('@daily') or `eagleray schedule add --every 1h FILE:FN` makes one"
    show_rows([_row(one) for one in found], as_json=as_json, empty=empty)


@app.command()
def history(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what became of a schedule's due times, the latest first."""
    found = _schedule(name).history(limit)
    rows = [_full(run) if as_json else _short(run) for run in found]
    show_rows(rows, as_json=as_json, empty=f"{name} was not due yet")


@app.command()
def run(name: Name, as_json: AsJson = False) -> None:
    """Start a schedule's call now, as a job."""
    job = _schedule(name).run_now()
    show_one({"job": job.id, "status": job.status}, as_json=as_json)


@app.command()
def pause(name: Name, as_json: AsJson = False) -> None:
    """Start nothing until it is resumed; what runs goes on."""
    _schedule(name).pause()
    show_one(_row(_schedule(name)), as_json=as_json)


@app.command()
def resume(name: Name, as_json: AsJson = False) -> None:
    """Go on with the next due time."""
    _schedule(name).resume()
    show_one(_row(_schedule(name)), as_json=as_json)


@app.command()
def delete(name: Name, as_json: AsJson = False) -> None:
    """Forget a schedule; what runs goes on, its history stays."""
    _schedule(name).delete()
    show_one({"schedule": name, "deleted": True}, as_json=as_json)


def _timing(when: str, timezone: str, rules: list[str]) -> Timing:
    """An interval is a number with a unit, all else is a cron rule; the two rules have no word in common."""
    from ..runtime.schedule import CATCH_UPS, OVERLAPS, Timing

    wrong = [rule for rule in rules if rule not in (*CATCH_UPS, *OVERLAPS)]
    if wrong:
        near = did_you_mean(wrong[0], [*CATCH_UPS, *OVERLAPS])
        raise DefinitionError(f"no rule {wrong[0]!r} for --catch-up (none, latest, all) or --overlap{near}")
    is_interval = " " not in when.strip() and not when.startswith("@")
    words = {"overlap" if rule in OVERLAPS else "catch_up": rule for rule in rules}
    return Timing(**{"every" if is_interval else "cron": when}, timezone=timezone, **words)  # type: ignore[arg-type]


def _schedule(name: str) -> Schedule:
    from .runs.schedule import Schedule

    return Schedule(name)


def _row(one: Schedule) -> dict[str, object]:
    entry, following = one.entry, one.next()
    return {
        "schedule": entry.name, "function": entry.function, "when": str(entry.timing),
        "next": "paused" if entry.paused else following[0].isoformat() if following else "never",
        "catch_up": entry.timing.catch_up, "overlap": entry.timing.overlap, "version": entry.version,
    }  # fmt: skip


def _full(run: ScheduledRun) -> dict[str, object]:
    times = {"due": _text(run.due_us), "started": _text(run.started_us), "ended": _text(run.ended_us)}
    rest = {"state": run.state, "asked": run.asked, "version": run.version, "job": run.job, "run": run.run}
    return {**times, **rest, "error": run.error}


def _short(run: ScheduledRun) -> dict[str, object]:
    """As a line: the seconds from due to begun, and from begun to ended."""
    waited = "" if run.started_us is None else f"{(run.started_us - run.due_us) / 1e6:.1f} s"
    took = "" if run.started_us is None or run.ended_us is None else f"{(run.ended_us - run.started_us) / 1e6:.1f} s"
    due = datetime.fromtimestamp(run.due_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    how = f"{run.state} (asked for)" if run.asked else run.state
    return {"due": due, "state": how, "waited": waited, "took": took, "job": run.job, "error": run.error}


def _text(at_us: int | None) -> str | None:
    return None if at_us is None else datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds")
