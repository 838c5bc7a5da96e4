"""The connection to MLflow that runs and models share; importing MLflow costs seconds, so it is made on first use."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.errors import EaglerayError, NotFoundError, ServerUnavailable, StorageError
from ...runtime.settings import Settings
from .mlflow_store import make_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that is down is reported within seconds, not after MLflow's 7 retries.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}


class Connection:
    """The client of one MLflow, and the ids of its experiments."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._made: MlflowClient | None = None
        self._lock = threading.Lock()

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client."""
        with self._lock:  # a thread may be warming up while the search runs
            if self._made is None:
                for name, value in _ENVIRONMENT.items():
                    os.environ.setdefault(name, value)
                from mlflow import MlflowClient

                for noisy in ("mlflow", "alembic"):
                    logging.getLogger(noisy).setLevel(logging.WARNING)
                if self.settings.tracking_uri is None:
                    self.settings.home.mkdir(parents=True, exist_ok=True)
                    make_store(Path(self.settings.tracking.removeprefix("sqlite:///")))
                self._made = MlflowClient(self.settings.tracking, registry_uri=self.settings.tracking)
            return self._made

    def experiment_id(self, name: str) -> str:
        """The experiment of that name, made where there is none."""
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            experiment_id: str = found.experiment_id
            return experiment_id
        root = None
        if self.settings.tracking_uri is None:  # else the server knows where its artifacts go
            root = (self.settings.home / "artifacts").as_uri()
        try:
            return self.client.create_experiment(name, artifact_location=root)
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
            return self.experiment_id(name)  # another run made it at the same moment


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
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
