"""Runs and model versions in MLflow: SQLite and a folder under the home, or the server the settings name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from ...runtime.settings import Settings
from .mlflow_client import Connection, translated
from .mlflow_runs import MLflowRuns
from .run import Run, Version

if TYPE_CHECKING:
    from mlflow import MlflowClient


class MLflowTracker:
    """See `run.Tracker`; one client, made on first use (importing MLflow costs seconds)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = Connection(settings)
        self._runs = MLflowRuns(self._connection)

    def warm_up(self) -> None:
        """Loads MLflow and creates its database where there is none."""
        with translated(self._settings):
            self._client.search_experiments(max_results=1)

    def log(self, run: Run) -> Run:
        """Writes a finished run; the same with its id."""
        run_id = self._runs.open(run)
        try:
            self._runs.write(run_id, run)
        except BaseException:
            self._runs.end(run_id, "FAILED")
            raise
        self._runs.end(run_id, "FINISHED")
        return replace(run, id=run_id)

    def read(self, run_id: str) -> Run:
        """A run without its artifacts; raises `NotFoundError`."""
        return self._runs.read(run_id)

    def add_folder(self, run_id: str, folder: Path, *, to: str) -> None:
        """Copies a folder into the run's artifacts, with MLflow's own description where it can read the model."""
        _describe(folder, run_id=run_id, to=to)
        with translated(self._settings):
            self._client.log_artifacts(run_id, str(folder), to)

    def add_version(self, name: str, *, run_id: str, folder: str) -> Version:
        """Registers a folder of the run's artifacts as the next version of a model."""
        with translated(self._settings):
            client = self._client
            if name not in self.model_names():
                client.create_registered_model(name)
            root = client.get_run(run_id).info.artifact_uri
            made = client.create_model_version(name, source=f"{root}/{folder}", run_id=run_id)
        return _version(made)

    def versions(self, name: str) -> list[Version]:
        """The versions of a model, newest first; none where there is no such model."""
        with translated(self._settings):
            if name not in self.model_names():
                return []
            aliases = dict(self._client.get_registered_model(name).aliases)
            quoted = name.replace("'", "''")
            found = [_version(one) for one in self._client.search_model_versions(f"name='{quoted}'")]
        by_version: dict[str, list[str]] = {}
        for alias, version in aliases.items():
            by_version.setdefault(str(version), []).append(alias)
        return sorted(
            (replace(one, aliases=tuple(sorted(by_version.get(one.version, ())))) for one in found),
            key=lambda one: int(one.version),
            reverse=True,
        )

    def model_names(self) -> list[str]:
        """The registered models."""
        with translated(self._settings):
            names, token = [], None
            while True:
                page = self._client.search_registered_models(page_token=token)
                names += [one.name for one in page]
                token = page.token
                if not token:
                    return names

    def set_alias(self, name: str, *, version: str, alias: str) -> None:
        """Points an alias to a version."""
        with translated(self._settings):
            self._client.set_registered_model_alias(name, alias, version)

    def tags(self, name: str) -> Mapping[str, str]:
        """What is noted at a model, beside its versions; raises `NotFoundError`."""
        with translated(self._settings):
            return dict(self._client.get_registered_model(name).tags)

    def set_tag(self, name: str, *, key: str, value: str) -> None:
        """Notes something at a model."""
        with translated(self._settings):
            self._client.set_registered_model_tag(name, key, value)

    def fetch(self, version: Version) -> Path:
        """The version's own folder where it is on this machine, else a downloaded copy."""
        source = version.source
        with translated(self._settings):
            if source.startswith("models:/m-"):  # what plain MLflow logs is kept outside of the run
                source = self._client.get_logged_model(source.removeprefix("models:/")).artifact_location
        address = urlparse(source)
        if address.scheme in ("", "file"):
            return Path(unquote(address.path))
        with translated(self._settings):
            from mlflow.artifacts import download_artifacts

            cache = self._settings.home / "models" / version.name / version.version
            cache.mkdir(parents=True, exist_ok=True)
            return Path(
                download_artifacts(artifact_uri=source, dst_path=str(cache), tracking_uri=self._settings.tracking)
            )

    @property
    def _client(self) -> MlflowClient:
        return self._connection.client


def _version(found: Any) -> Version:
    return Version(
        name=found.name, version=str(found.version), run_id=found.run_id or "", source=found.source,
        aliases=tuple(sorted(getattr(found, "aliases", ()))), created_ms=found.creation_timestamp or 0,
    )  # fmt: skip


def _describe(folder: Path, *, run_id: str, to: str) -> None:
    """Writes MLflow's own MLmodel file (JSON is YAML) beside a model of one booster, so that plain MLflow
    users can load it: `mlflow.xgboost.load_model("models:/fraud/3")`."""
    boosters = sorted(folder.glob("member-*"))
    if len(boosters) != 1:
        return
    file = boosters[0].name
    if file.endswith(".ubj"):
        flavor, about = "xgboost", {"model_class": "xgboost.core.Booster", "model_format": "ubj"}
    else:
        flavor, about = "lightgbm", {"model_class": "lightgbm.basic.Booster"}
    described = {
        "artifact_path": to,
        "run_id": run_id,
        "flavors": {
            flavor: {"data": file, **about},
            "python_function": {"loader_module": f"mlflow.{flavor}", "data": file},
        },
    }
    (folder / "MLmodel").write_text(json.dumps(described, indent=2))
