"""`eagleray features materialize`: a feature set filled, from files or from the version before it."""

from __future__ import annotations

from typing import Annotated

import typer

from ..runtime.rich_output import show_one
from ..runtime.settings import Settings
from ..runtime.typer_options import AsJson
from .typer_feature_set import Target, feature_set_at


def materialize(
    target: Target,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Parquet, CSV or JSON-lines files (path, folder, glob, URI) or a Delta table."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Leave out rows at or after this moment.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fill a set from files; without --from a changed set from the version before it, activated when it is ready."""
    feature_set = feature_set_at(target)
    from .store import FeatureStore

    with FeatureStore(Settings.from_env()) as store:
        if source is None:
            rows = store.backfill(feature_set)
        else:
            store.apply(feature_set)
            rows = store.ingest(feature_set, source, until=until)
        show_one(
            {"name": feature_set.name, "version": store.get(feature_set.name).version, "rows": rows}, as_json=as_json
        )
