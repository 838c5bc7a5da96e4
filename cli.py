"""The shell face: `eagleray COMMAND`. Each floor brings its own commands (typer_*.py), put together here.

Exit codes: 0 done, 1 an error of eagleray's (one line on stderr), 2 wrong usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

import eagleray
from eagleray.featurestore import typer_features
from eagleray.functions import (
    typer_jobs,
    typer_models,
    typer_run,
    typer_runs,
    typer_schedules,
    typer_serve,
    typer_services,
    typer_versions,
)
from eagleray.graphs import typer_graphs
from eagleray.graphs.pipelines import typer_pipelines
from eagleray.hub import typer_hub
from eagleray.runtime import typer_secrets
from eagleray.runtime.errors import EaglerayError
from eagleray.runtime.rich_output import show_json
from eagleray.runtime.settings import Settings
from eagleray.runtime.typer_options import AsJson

app = typer.Typer(
    name="eagleray",
    help="Serverless functions, features, models and serving graphs for machine learning on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: loading rich for it would double its time
)


# A group's file imports typer and nouns alone: what a command needs is loaded when it runs.
app.add_typer(typer_hub.app, name="hub")
app.add_typer(typer_graphs.app, name="graph")
app.add_typer(typer_features.app, name="features")
app.add_typer(typer_models.app, name="models")
app.add_typer(typer_runs.app, name="runs")
app.add_typer(typer_secrets.app, name="secret")
app.add_typer(typer_pipelines.app, name="pipeline")
app.command(context_settings=typer_run.HANDED_ON)(typer_run.run)
app.command()(typer_graphs.test)
app.command()(typer_serve.serve)
typer_services.register(app)
typer_versions.register(app)
app.command(context_settings=typer_run.HANDED_ON)(typer_jobs.submit)
app.add_typer(typer_jobs.app, name="jobs")
app.add_typer(typer_schedules.app, name="schedule")


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    try:
        app()
    except EaglerayError as error:
        print(f"eagleray: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has left, for instance `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"eagleray {eagleray.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    full: Annotated[bool, typer.Option("--full", help="The benchmark's size instead of the small one.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running and print the addresses.")] = False,
    as_json: AsJson = False,
    budget_s: Annotated[float | None, typer.Option(min=1, help="Seconds for the model search.")] = None,
) -> None:
    """Run the fraud pipeline end to end on this machine."""
    from eagleray.examples.fraud.demo import DemoOptions
    from eagleray.examples.fraud.demo import main as run_demo

    chosen: dict[str, Any] = {} if budget_s is None else {"budget_s": budget_s}
    raise typer.Exit(run_demo(DemoOptions(full=full, keep=keep, as_json=as_json, **chosen)))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look over this machine; exit code 1 when something needs a cure."""
    from dataclasses import asdict

    from eagleray.runtime.doctor import checks

    found = []
    for check in checks(Settings.from_env()):
        found.append(check)
        if not as_json:
            print(check.line(), flush=True)
    if as_json:
        show_json([asdict(check) for check in found])
    raise typer.Exit(0 if all(check.ok for check in found) else 1)


@app.command()
def up(
    cpus: Annotated[int | None, typer.Option(min=1, help="Default: those of this machine.")] = None,
    as_json: AsJson = False,
) -> None:
    """Start a Ray that stays, with the embedded servers; every later command and program of this home joins it."""
    from eagleray.runtime import lasting
    from eagleray.runtime.rich_output import show_one

    found = lasting.start(Settings.from_env().home, num_cpus=cpus)
    shown = {"address": found.address, "dashboard": found.dashboard_url, "pid": found.pid}
    show_one(shown if as_json else {**shown, "stop it with": "eagleray down"}, as_json=as_json)


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop what `eagleray up` started, and the embedded servers of this home (EAGLERAY_HOME)."""
    from eagleray.runtime import lasting, valkey_server

    settings = Settings.from_env()
    lasting.stop(settings.home)
    gone = valkey_server.stop(settings.home)
    if as_json:
        show_json({"home": str(settings.home), "stopped": gone})
    else:
        print(
            f"nothing runs for {settings.home} any more"
            if gone
            else f"a process still uses the server of {settings.home}: end it"
        )
    raise typer.Exit(0 if gone else 1)


if __name__ == "__main__":
    main()
