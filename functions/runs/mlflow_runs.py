"""Runs in MLflow: opened, written to while they go, ended, found again."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.errors import NotFoundError, ServerUnavailable
from .mlflow_client import Connection, translated
from .run import Run, Table

if TYPE_CHECKING:
    from mlflow import MlflowClient

# What one request may hold; MLflow's own limits, of which one is 1,000 of all together.
_MOST_METRICS = 800
_MOST_PARAMS = 100
_MOST_TAGS = 100
_PARENT = "mlflow.parentRunId"


class MLflowRuns:
    """Every method raises `ServerUnavailable` where MLflow cannot be reached."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open(self, run: Run) -> str:
        """Begins a run and gives its id; what the run holds is written by `write`."""
        with self._translated():
            tags = {"mlflow.source.name": "eagleray"} | ({_PARENT: run.parent} if run.parent else {})
            experiment = self._connection.experiment_id(run.experiment)
            made = self._client.create_run(experiment, run_name=run.name or None, tags=tags)
            run_id: str = made.info.run_id
            return run_id

    def write(self, run_id: str, run: Run) -> None:
        """Adds parameters, metrics, tags and artifacts of `run` to the run `run_id`."""
        with self._translated():
            from mlflow.entities import Metric, Param, RunTag

            now_ms = int(time.time() * 1000)
            metrics = [Metric(name, value, now_ms, 0) for name, value in run.metrics.items()]
            params = [Param(name, str(value)) for name, value in run.params.items()]
            tags = [RunTag(name, value) for name, value in run.tags.items()]
            none: list[Any] = []
            parts = (_parts(metrics, _MOST_METRICS), _parts(params, _MOST_PARAMS), _parts(tags, _MOST_TAGS))
            for some in zip_longest(*parts, fillvalue=none):
                self._client.log_batch(run_id, metrics=some[0], params=some[1], tags=some[2])
            self._add_artifacts(run_id, run.artifacts)

    def add_points(self, run_id: str, points: Sequence[tuple[str, float, int, int]]) -> None:
        """Adds points of metrics: (name, value, step, milliseconds since 1970)."""
        with self._translated():
            from mlflow.entities import Metric

            metrics = [Metric(name, value, at_ms, step) for name, value, step, at_ms in points]
            for some in _parts(metrics, _MOST_METRICS):
                self._client.log_batch(run_id, metrics=some)

    def add_inputs(self, run_id: str, tables: Sequence[Table]) -> None:
        """Tells MLflow which tables the run has read."""
        with self._translated():
            from mlflow.entities import Dataset, DatasetInput

            found = [
                Dataset(
                    name=table.name,
                    digest=table.content_hash[:36],
                    source_type="eagleray",
                    source=f"argument {table.name}",
                    schema=json.dumps(table.columns),
                    profile=json.dumps({"num_rows": table.rows}),
                )
                for table in tables
            ]
            self._client.log_inputs(run_id, [DatasetInput(one) for one in found])

    def reopen(self, run_id: str) -> None:
        """Begins an ended run again: it goes on."""
        with self._translated():
            self._client.update_run(run_id, status="RUNNING")

    def end(self, run_id: str, status: str) -> None:
        """Ends the run as FINISHED, FAILED or KILLED."""
        with self._translated():
            self._client.set_terminated(run_id, status)

    def read(self, run_id: str) -> Run:
        """A run without its artifacts; raises `NotFoundError`."""
        with self._translated():
            found = self._client.get_run(run_id)
            return _run(found, self._client.get_experiment(found.info.experiment_id).name)

    def check_visible(self, run_id: str) -> None:
        """Raises `ServerUnavailable` where this process looks at another store than the one that opened the run."""
        try:
            self.read(run_id)
        except NotFoundError:
            where = self._connection.settings.tracking
            raise ServerUnavailable(
                f"this node sees no run {run_id} in {where}: set MLFLOW_TRACKING_URI to a server that all nodes reach"
            ) from None

    def find(self, *, experiment: str | None = None, parent: str | None = None, limit: int = 1000) -> list[Run]:
        """Runs, newest first; raises `NotFoundError` for an experiment that nobody made."""
        with self._translated():
            names = {one.experiment_id: one.name for one in self._client.search_experiments()}
            if experiment is not None:
                names = {key: name for key, name in names.items() if name == experiment}
                if not names:
                    raise NotFoundError(f"no experiment {experiment!r}: a run makes one")
            only = f"tags.`{_PARENT}` = '{parent}'" if parent else ""
            found = self._client.search_runs(
                list(names), only, max_results=limit, order_by=["attributes.start_time DESC"]
            )
            return [_run(one, names[one.info.experiment_id]) for one in found]

    def artifact(self, run_id: str, path: str) -> bytes | None:
        """The content of one of the run's files; None where it has no such file."""
        with self._translated(), tempfile.TemporaryDirectory() as folder:
            parent = path.rpartition("/")[0]
            if path not in {one.path for one in self._client.list_artifacts(run_id, parent or None)}:
                return None
            return Path(self._client.download_artifacts(run_id, path, folder)).read_bytes()

    def artifacts(self, run_id: str, folder: str = "") -> list[str]:
        """The paths of the run's files, sorted."""
        with self._translated():
            found: list[str] = []
            for one in self._client.list_artifacts(run_id, folder or None):
                found += self.artifacts(run_id, one.path) if one.is_dir else [one.path]
            return sorted(found)

    @property
    def _client(self) -> MlflowClient:
        return self._connection.client

    def _translated(self) -> Any:
        return translated(self._connection.settings)

    def _add_artifacts(self, run_id: str, artifacts: Mapping[str, bytes]) -> None:
        if not artifacts:
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, data in artifacts.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            self._client.log_artifacts(run_id, folder)


def _run(found: Any, experiment: str) -> Run:
    return Run(
        experiment=experiment,
        name=found.info.run_name or "",
        params=dict(found.data.params),
        metrics=dict(found.data.metrics),
        tags={name: value for name, value in found.data.tags.items() if not name.startswith("mlflow.")},
        id=found.info.run_id,
        parent=found.data.tags.get(_PARENT, ""),
        status=found.info.status,
        started_ms=found.info.start_time or 0,
        ended_ms=found.info.end_time or 0,
    )


def _parts(items: list[Any], most: int) -> list[list[Any]]:
    return [items[at : at + most] for at in range(0, len(items), most)]
