"""Runs and model versions in MLflow: SQLite and a folder under the home, or the server the settings name."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from ..runtime.errors import EaglerayError, NotFoundError, ServerUnavailable, StorageError
from ..runtime.settings import Settings
from .run import Run, Version

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that is down is reported within seconds, not after MLflow's 7 retries.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
_MOST_METRICS = 1000  # a request; MLflow's own limit
_MOST_PARAMS = 100


class MLflowTracker:
    """See `run.Tracker`; one client, made on first use (importing MLflow costs seconds)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: MlflowClient | None = None
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Loads MLflow and creates its database where there is none."""
        with _translated(self._settings):
            self._client.search_experiments(max_results=1)

    def log(self, run: Run) -> Run:
        """Writes a finished run; the same with its id."""
        with _translated(self._settings):
            from mlflow.entities import Metric, Param, RunTag

            client = self._client
            tags = {"mlflow.source.name": "eagleray", **run.tags}
            made = client.create_run(self._experiment_id(run.experiment), run_name=run.name or None)
            run_id: str = made.info.run_id
            now_ms = int(time.time() * 1000)
            metrics = [Metric(name, value, now_ms, 0) for name, value in run.metrics.items()]
            params = [Param(name, str(value)) for name, value in run.params.items()]
            try:
                client.log_batch(
                    run_id,
                    metrics=metrics[:_MOST_METRICS],
                    params=params[:_MOST_PARAMS],
                    tags=[RunTag(name, value) for name, value in tags.items()],
                )
                self._add_artifacts(run_id, run)
            except BaseException:
                client.set_terminated(run_id, "FAILED")
                raise
            client.set_terminated(run_id, "FINISHED")
        return Run(
            experiment=run.experiment, name=run.name, params=run.params, metrics=run.metrics, tags=run.tags,
            artifacts=run.artifacts, id=run_id,
        )  # fmt: skip

    def read(self, run_id: str) -> Run:
        """A run without its artifacts; raises `NotFoundError`."""
        with _translated(self._settings):
            found = self._client.get_run(run_id)
            experiment = self._client.get_experiment(found.info.experiment_id)
        return Run(
            experiment=experiment.name,
            name=found.info.run_name or "",
            params=dict(found.data.params),
            metrics=dict(found.data.metrics),
            tags={name: value for name, value in found.data.tags.items() if not name.startswith("mlflow.")},
            id=run_id,
        )

    def add_folder(self, run_id: str, folder: Path, *, to: str) -> None:
        """Copies a folder into the run's artifacts, with MLflow's own description where it can read the model."""
        _describe(folder, run_id=run_id, to=to)
        with _translated(self._settings):
            self._client.log_artifacts(run_id, str(folder), to)

    def add_version(self, name: str, *, run_id: str, folder: str) -> Version:
        """Registers a folder of the run's artifacts as the next version of a model."""
        with _translated(self._settings):
            client = self._client
            if name not in self.model_names():
                client.create_registered_model(name)
            root = client.get_run(run_id).info.artifact_uri
            made = client.create_model_version(name, source=f"{root}/{folder}", run_id=run_id)
        return _version(made)

    def versions(self, name: str) -> list[Version]:
        """The versions of a model, newest first; none where there is no such model."""
        with _translated(self._settings):
            if name not in self.model_names():
                return []
            aliases = dict(self._client.get_registered_model(name).aliases)
            quoted = name.replace("'", "''")
            found = [_version(one) for one in self._client.search_model_versions(f"name='{quoted}'")]
        by_version: dict[str, list[str]] = {}
        for alias, version in aliases.items():
            by_version.setdefault(str(version), []).append(alias)
        return sorted(
            (
                Version(one.name, one.version, one.run_id, one.source, tuple(sorted(by_version.get(one.version, ()))))
                for one in found
            ),
            key=lambda one: int(one.version),
            reverse=True,
        )

    def model_names(self) -> list[str]:
        """The registered models."""
        with _translated(self._settings):
            names, token = [], None
            while True:
                page = self._client.search_registered_models(page_token=token)
                names += [one.name for one in page]
                token = page.token
                if not token:
                    return names

    def set_alias(self, name: str, *, version: str, alias: str) -> None:
        """Points an alias to a version."""
        with _translated(self._settings):
            self._client.set_registered_model_alias(name, alias, version)

    def fetch(self, version: Version) -> Path:
        """The version's own folder where it is on this machine, else a downloaded copy."""
        address = urlparse(version.source)
        if address.scheme in ("", "file"):
            return Path(unquote(address.path))
        with _translated(self._settings):
            from mlflow.artifacts import download_artifacts

            cache = self._settings.home / "models" / version.name / version.version
            cache.mkdir(parents=True, exist_ok=True)
            return Path(
                download_artifacts(
                    artifact_uri=version.source, dst_path=str(cache), tracking_uri=self._settings.tracking
                )
            )

    @property
    def _client(self) -> MlflowClient:
        with self._lock:  # a thread may be warming up while the search runs
            if self._made is None:
                for name, value in _ENVIRONMENT.items():
                    os.environ.setdefault(name, value)
                from mlflow import MlflowClient

                for noisy in ("mlflow", "alembic"):
                    logging.getLogger(noisy).setLevel(logging.WARNING)
                if self._settings.tracking_uri is None:
                    self._settings.home.mkdir(parents=True, exist_ok=True)
                self._made = MlflowClient(self._settings.tracking, registry_uri=self._settings.tracking)
            return self._made

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            experiment_id: str = found.experiment_id
            return experiment_id
        root = None
        if self._settings.tracking_uri is None:  # else the server knows where its artifacts go
            root = (self._settings.home / "artifacts").as_uri()
        return self._client.create_experiment(name, artifact_location=root)

    def _add_artifacts(self, run_id: str, run: Run) -> None:
        if not run.artifacts:
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, data in run.artifacts.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            self._client.log_artifacts(run_id, folder)


def _version(found: Any) -> Version:
    return Version(
        name=found.name, version=str(found.version), run_id=found.run_id or "", source=found.source,
        aliases=tuple(sorted(getattr(found, "aliases", ()))),
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


@contextmanager
def _translated(settings: Settings) -> Iterator[None]:
    """Our errors for MLflow's: one line with the cure."""
    try:
        yield
    except EaglerayError:
        raise
    except OSError as problem:
        raise StorageError(f"cannot write to {settings.home}: {problem.strerror or problem}") from problem
    except Exception as problem:
        if not type(problem).__module__.startswith(("mlflow", "requests", "sqlalchemy", "alembic")):
            raise
        line = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
        if getattr(problem, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            raise NotFoundError(line) from problem
        raise ServerUnavailable(
            f"MLflow at {settings.tracking} did not do it: {line}; see MLFLOW_TRACKING_URI"
        ) from problem
