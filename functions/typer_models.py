"""`eagleray models`: the registered models."""

from __future__ import annotations

import typer

from ..runtime.rich_output import show_rows
from ..runtime.settings import Settings
from ..runtime.typer_options import AsJson

app = typer.Typer(no_args_is_help=True, help="The registered models.")


@app.callback()
def _group() -> None:
    pass


@app.command("list")
def list_versions(as_json: AsJson = False) -> None:
    """List every registered model's versions."""
    settings = Settings.from_env()
    rows: list[dict[str, object]] = []
    if settings.tracking_uri is not None or (settings.home / "mlflow.db").exists():
        from .model_registry import ModelRegistry

        models = ModelRegistry(settings)
        versions = [found for name in models.names() for found in models.versions(name)]
        rows = [
            {"name": found.name, "version": found.version, "aliases": list(found.aliases), "run": found.run_id}
            for found in versions
        ]
    show_rows(rows, as_json=as_json, empty="no model is registered yet: automl.fit(...) registers one")
