"""`eagleray history | rollback | canary | promote | logs`: a service's versions, on the Ray that `eagleray up` keeps or
the one at RAY_ADDRESS."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.errors import ServerUnavailable
from ..runtime.rich_output import show_one, show_rows
from ..runtime.settings import Settings
from ..runtime.typer_options import AsJson

if TYPE_CHECKING:
    from .rollouts.rollout import Rollout, Version

Name = Annotated[str, typer.Argument(help="The service's name.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (history, rollback, canary, promote, logs):
        app.command()(command)


def history(name: Name, as_json: AsJson = False) -> None:
    """List every version of a service, the newest first."""
    rows = [_row(version) for version in _rollout(name, needs_ray=False).history()]
    show_rows(rows, as_json=as_json, empty=f"{name} was never deployed with this catalog")


def rollback(
    name: Name,
    to: Annotated[int | None, typer.Option(help="The version's number; the one before, if none is given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an earlier version of a service stable again."""
    show_one(_row(_rollout(name).rollback(to)), as_json=as_json)


def canary(name: Name, percent: Annotated[float, typer.Argument(min=0, max=100)], as_json: AsJson = False) -> None:
    """Change the share of the requests that a service's canary gets; 0 ends it."""
    rollout = _rollout(name)
    rollout.set_canary(percent)
    show_rows([_row(version) for version in rollout.history() if version.role], as_json=as_json, empty="")


def promote(name: Name, as_json: AsJson = False) -> None:
    """Make a service's canary, or else its shadow, the stable version."""
    show_one(_row(_rollout(name).promote()), as_json=as_json)


def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it is stopped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print what a service's replicas have printed (--json: an object a line)."""
    for line in _rollout(name).logs(follow=follow):
        typer.echo(json.dumps({"line": line}) if as_json else line)


def _rollout(name: str, *, needs_ray: bool = True) -> Rollout:
    from ..runtime import lasting, ray_cluster
    from .rollouts.rollout import Rollout

    settings = Settings.from_env()
    if not ray_cluster.join_lasting(settings) and needs_ray:
        raise ServerUnavailable(f"{name} is not deployed: no Ray that stays runs here; {lasting.CURE}, then deploy it")
    return Rollout(name, settings)


def _row(version: Version) -> dict[str, object]:
    row = asdict(version)
    made = datetime.fromtimestamp(row.pop("made_us") / 1e6, UTC)
    return {**row, "made": made.strftime("%Y-%m-%d %H:%M:%S UTC")}
