"""`eagleray features`: what the feature store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ..runtime.errors import FeatureSetNotFound, did_you_mean
from ..runtime.rich_output import show_one, show_rows
from ..runtime.settings import Settings
from ..runtime.typer_options import AsJson

if TYPE_CHECKING:
    from .catalog import AppliedSet

app = typer.Typer(no_args_is_help=True, help="What the feature store holds.")


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


def _feature_sets() -> list[AppliedSet]:
    settings = Settings.from_env()
    if settings.catalog_url is None and not (settings.home / "catalog.db").exists():
        return []  # asking a store would make its files
    from .store import FeatureStore

    with FeatureStore(settings) as store:
        return list(store.feature_sets())
