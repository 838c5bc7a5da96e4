"""The shell face: `eagleray COMMAND`. Each command asks one function of the floors and prints what it says.

Exit codes: 0 done, 1 an error of eagleray's (one line on stderr), 2 wrong usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

import eagleray
from eagleray.runtime.errors import EaglerayError
from eagleray.runtime.settings import Settings

app = typer.Typer(
    name="eagleray",
    help="Serverless functions, features, models and serving graphs for machine learning on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: loading rich for it would double its time
)
hub_app = typer.Typer(no_args_is_help=True, help="Ready-made functions by name.")
features_app = typer.Typer(no_args_is_help=True, help="What the feature store holds.")
models_app = typer.Typer(no_args_is_help=True, help="The registered models.")
app.add_typer(hub_app, name="hub")
app.add_typer(features_app, name="features")
app.add_typer(models_app, name="models")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Shelf = Annotated[str | None, typer.Option("--shelf", help="A folder of items of your own.")]


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


@hub_app.command("list")
def hub_list(as_json: AsJson = False, shelf: Shelf = None) -> None:
    """List every item."""
    _show_items(eagleray.hub.list(shelf=shelf), as_json)


@hub_app.command("search")
def hub_search(words: list[str], as_json: AsJson = False, shelf: Shelf = None) -> None:
    """Find items by words (their beginnings suffice)."""
    _show_items(eagleray.hub.search(" ".join(words), shelf=shelf), as_json)


@hub_app.command("show")
def hub_show(name: str, as_json: AsJson = False, shelf: Shelf = None) -> None:
    """Show one item: its card, and how it is called."""
    item = eagleray.hub.show(name, shelf=shelf)
    loaded = eagleray.hub.load(name, shelf=shelf)
    import inspect

    fields = {
        **item.as_dict(),
        "signature": f"{loaded.__name__}{inspect.signature(loaded)}",
        "doc": inspect.getdoc(loaded),
    }
    _show_one(fields, as_json)


@features_app.command("list")
def features_list(as_json: AsJson = False) -> None:
    """List the active version of every feature set."""
    rows = [
        {
            "name": found.name,
            "version": found.version,
            "entities": [entity.name for entity in found.entities],
            "features": len(found.feature_types),
            "owner": found.owner,
            "description": found.description,
        }
        for found in _feature_sets()
    ]
    _show_rows(rows, as_json, "no feature set is defined yet: FeatureStore().apply(...) defines one")


@features_app.command("show")
def features_show(name: str, as_json: AsJson = False) -> None:
    """Show one feature set: its keys, its columns and its features."""
    from eagleray.runtime.errors import FeatureSetNotFound, did_you_mean

    known = {found.name: found for found in _feature_sets()}
    if name not in known:
        raise FeatureSetNotFound(f"no feature set {name!r}{did_you_mean(name, known)}")
    found = known[name]
    _show_one(
        {
            "name": found.name,
            "version": found.version,
            "content_hash": found.content_hash,
            "owner": found.owner,
            "description": found.description,
            "entities": {entity.name: entity.dtype for entity in found.entities},
            "timestamp": found.timestamp,
            "columns": found.columns,
            "features": found.feature_types,
        },
        as_json,
    )


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List every registered model's versions."""
    settings = Settings.from_env()
    rows: list[dict[str, object]] = []
    if settings.tracking_uri is not None or (settings.home / "mlflow.db").exists():
        from eagleray.functions.model_registry import ModelRegistry

        models = ModelRegistry(settings)
        versions = [found for name in models.names() for found in models.versions(name)]
        rows = [
            {"name": found.name, "version": found.version, "aliases": list(found.aliases), "run": found.run_id}
            for found in versions
        ]
    _show_rows(rows, as_json, "no model is registered yet: automl.fit(...) registers one")


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
        _print_json([asdict(check) for check in found])
    raise typer.Exit(0 if all(check.ok for check in found) else 1)


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop the embedded servers of this home (EAGLERAY_HOME)."""
    from eagleray.runtime import valkey_server

    settings = Settings.from_env()
    gone = valkey_server.stop(settings.home)
    if as_json:
        _print_json({"home": str(settings.home), "stopped": gone})
    else:
        print(
            f"nothing runs for {settings.home} any more"
            if gone
            else f"a process still uses the server of {settings.home}: end it"
        )
    raise typer.Exit(0 if gone else 1)


def _feature_sets() -> list[Any]:
    settings = Settings.from_env()
    if settings.catalog_url is None and not (settings.home / "catalog.db").exists():
        return []  # asking a store would make its files
    with eagleray.FeatureStore(settings) as store:
        return list(store.feature_sets())


def _show_items(items: Iterable[Any], as_json: bool) -> None:
    rows = [item.as_dict() for item in items]
    shown = rows if as_json else [{key: row[key] for key in ("name", "version", "summary", "tags")} for row in rows]
    _show_rows(shown, as_json, "nothing found")


def _show_rows(rows: Sequence[Mapping[str, object]], as_json: bool, empty: str) -> None:
    """A table for people, or a JSON list."""
    if as_json:
        _print_json(rows)
    elif not rows:
        print(empty)
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(*rows[0], box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(_text(value) for value in row.values()))
        # A pipe has no width: there a line is never folded.
        Console(width=None if sys.stdout.isatty() else 10_000, markup=False, highlight=False).print(table)


def _show_one(fields: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        _print_json(fields)
        return
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            print(f"{name}:", *(f"  {key}: {one}" for key, one in value.items()), sep="\n")
        else:
            print(f"{name}: {_text(value)}")


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, default=str))


if __name__ == "__main__":
    main()
