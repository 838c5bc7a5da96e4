"""`eagleray deploy | list | stop`: services of the Ray at RAY_ADDRESS, or of the one that `eagleray up` keeps."""

from __future__ import annotations

import contextlib
import inspect
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..runtime.errors import InputError, NotFoundError, ServerUnavailable
from ..runtime.rich_output import show_json, show_one, show_rows
from ..runtime.settings import Settings
from ..runtime.typer_options import AsJson

if TYPE_CHECKING:
    from .loading import Deployable
    from .rollouts.deployed import Deployed
    from .rollouts.services import RunningService

Target = Annotated[str, typer.Argument(metavar="FILE:FN", help="For instance app.py:answer, a function or a graph.")]
_NO_RAY = "no Ray that stays runs here, so no service does: `eagleray up`, or set RAY_ADDRESS"
_EMPTY = "no service runs: fn.deploy() or `eagleray deploy FILE:FN` starts one"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(deploy)
    app.command("list")(list_services)
    app.command()(stop)


def deploy(
    target: Target,
    name: Annotated[str, typer.Option(help="Of the service. Default: the function's name.")] = "",
    canary: Annotated[
        float | None, typer.Option(min=0, max=100, help="Give this version so many percent of the requests.")
    ] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Give this version copies of the requests.")] = False,
    as_json: AsJson = False,
) -> None:
    """Serve a function or a graph over HTTP as a version of its service.

    It goes on when this command has ended, on the Ray that `eagleray up` or RAY_ADDRESS names; where there is none, one
    is started here, and ends with this command.
    """
    from ..runtime import lasting, ray_cluster
    from ..runtime.lasting_process import found_by_others
    from .loading import load_deployable

    found = _renamed(load_deployable(target), name)
    trial = _trial(found, canary=canary, shadow=shadow)
    settings = Settings.from_env()
    if ray_cluster.join_lasting(settings):
        _show(found.deploy(settings=settings, **trial), as_json=as_json)
        return
    if not lasting.hold(settings.home):
        raise ServerUnavailable(f"a Ray of {settings.home} is starting or ending: try again in a moment")
    _say("no Ray stays here (`eagleray up`), so one is started that ends with this command")
    with found_by_others(settings):
        end = found.deploy(settings=settings, **trial)
        _show(end, as_json=as_json)
        _say("Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            for line in end.logs(follow=True):
                _say(line)
            while True:  # it was stopped; what others have deployed here goes on
                signal.pause()


def list_services(as_json: AsJson = False) -> None:
    """List the services that run, with the versions at work."""
    from ..runtime import ray_cluster
    from .rollouts.services import services

    settings = Settings.from_env()
    joined = ray_cluster.join_lasting(settings)
    rows = [_row(one, as_json=as_json) for one in services(settings)] if joined else []
    show_rows(rows, as_json=as_json, empty=_EMPTY if joined else _NO_RAY)


def stop(
    name: Annotated[str, typer.Argument(help="The service's name.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All services.")] = False,
    as_json: AsJson = False,
) -> None:
    """End a service once it has answered what it holds; its versions are remembered."""
    from ..runtime import ray_cluster
    from .rollouts.rollout import Rollout
    from .rollouts.services import service, services

    if bool(name) == everything:
        raise typer.BadParameter("give a service's name, or --all")
    settings = Settings.from_env()
    joined = ray_cluster.join_lasting(settings)
    if not joined and name:
        raise NotFoundError(_NO_RAY)
    names = [service(name, settings).name] if name else [one.name for one in services(settings)] if joined else []
    for each in names:
        Rollout(each, settings).stop()
    if as_json:
        show_json({"stopped": names})
    else:
        print(f"stopped {', '.join(names)}" if names else _EMPTY)


def _renamed(found: Deployable, name: str) -> Deployable:
    from .function import Function

    if not name:
        return found
    if isinstance(found, Function):
        renamed: Deployable = found.options(name=name)
        return renamed
    raise InputError(f"--name is for functions: a {type(found).__name__} has its name from where it is made")


def _trial(found: Deployable, *, canary: float | None, shadow: bool) -> dict[str, Any]:
    """The words for `deploy`; what a deployable has no word for is told before a Ray is started for it."""
    given = {name: value for name, value in {"canary": canary, "shadow": shadow or None}.items() if value is not None}
    unknown = sorted(given.keys() - inspect.signature(found.deploy).parameters.keys())
    if unknown:
        raise InputError(f"a {type(found).__name__} takes no --{unknown[0]}: deploy it without")
    return given


def _show(end: Deployed, *, as_json: bool) -> None:
    from .rollouts.services import service

    show_one(_row(service(end.name, end.settings), as_json=as_json), as_json=as_json)
    sys.stdout.flush()


def _row(one: RunningService, *, as_json: bool) -> dict[str, object]:
    """As a table shows it, or all of it."""
    if as_json:
        return asdict(one)
    canary = "" if one.canary is None else f"{one.canary} ({one.canary_percent:g} %)"
    return {
        "name": one.name, "url": one.url, "version": "" if one.version is None else one.version, "state": one.state,
        "replicas": f"{one.replicas}/{one.target_replicas}", "canary": canary,
        "shadow": "" if one.shadow is None else one.shadow,
    }  # fmt: skip


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
