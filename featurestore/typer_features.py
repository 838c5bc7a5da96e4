"""`eagleray features`: what the feature store holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.errors import FeatureSetNotFound, InputError, did_you_mean
from ..runtime.rich_output import show_one, show_rows
from ..runtime.settings import Settings
from ..runtime.typer_options import AsJson
from . import typer_batches, typer_streams

if TYPE_CHECKING:
    from .definitions.catalog import AppliedSet

app = typer.Typer(no_args_is_help=True, help="What the feature store holds.")
app.add_typer(typer_streams.app, name="streams")
app.command("dead-letters")(typer_streams.dead_letters)
app.command()(typer_batches.materialize)


@app.command("list")
def list_sets(as_json: AsJson = False) -> None:
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
    show_rows(rows, as_json=as_json, empty="no feature set is defined yet: FeatureStore().apply(...) defines one")


@app.command()
def show(name: str, as_json: AsJson = False) -> None:
    """Show one feature set: its keys, its columns and its features."""
    known = {found.name: found for found in _feature_sets()}
    if name not in known:
        raise FeatureSetNotFound(f"no feature set {name!r}{did_you_mean(name, known)}")
    found = known[name]
    fields = {
        "name": found.name,
        "version": found.version,
        "content_hash": found.content_hash,
        "owner": found.owner,
        "description": found.description,
        "entities": {entity.name: entity.dtype for entity in found.entities},
        "timestamp": found.timestamp,
        "columns": found.columns,
        "features": found.feature_types,
    }
    show_one(fields, as_json=as_json)


@app.command()
def compact(name: str, as_json: AsJson = False) -> None:
    """Merge the small files that streams leave in a feature set's offline tables."""
    from .store import FeatureStore

    with FeatureStore.from_env() as store:
        show_one(asdict(store.compact(name)), as_json=as_json)


@app.command()
def audit(
    as_json: AsJson = False,
    since: Annotated[datetime | None, typer.Option(help="Only vectors logged from this moment on.")] = None,
    most: Annotated[int | None, typer.Option(help="Only the newest so many.")] = None,
) -> None:
    """Compute logged vectors again from the offline tables and compare them bit for bit; fails when one differs."""
    from .store import FeatureStore

    with FeatureStore.from_env() as store:
        found = store.audit(since=since, most=most)
    show_one(found.to_dict(), as_json=as_json)
    if not found.passed:
        raise typer.Exit(1)


@app.command()
def erase(
    entity: Annotated[list[str], typer.Argument(help="The entity, as NAME=VALUE; several for a composite key.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the record.")],
    feature_set: Annotated[str | None, typer.Option("--set", help="Only this feature set.")] = None,
    by: Annotated[str, typer.Option(help="Who asks for it; the user of this shell unless said.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove an entity for good: offline, online, from the log, dead letters and logged vectors."""
    from .store import FeatureStore

    if not yes:
        typer.confirm(f"Erase {', '.join(entity)} for good? Nothing brings it back", abort=True)
    with FeatureStore.from_env() as store:
        known = {one.name: one.dtype for found in store.feature_sets() for one in found.entities}
        records = store.erase(feature_set, _entity(entity, known), reason=reason, by=by)
    show_rows([asdict(record) for record in records], as_json=as_json, empty="nothing was erased")


def _entity(pairs: list[str], types: Mapping[str, str]) -> dict[str, object]:
    made: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"cannot read the entity {pair!r}: write NAME=VALUE, such as card_id=7")
        try:
            made[name] = int(value) if types.get(name) == "int64" else value
        except ValueError:
            raise InputError(f"{name!r} is int64, {value!r} is no whole number") from None
    return made


def _feature_sets() -> list[AppliedSet]:
    settings = Settings.from_env()
    if settings.catalog_url is None and not (settings.home / "catalog.db").exists():
        return []  # asking a store would make its files
    from .store import FeatureStore

    with FeatureStore(settings) as store:
        return list(store.feature_sets())
