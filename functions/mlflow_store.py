"""The file of the embedded MLflow, made where files are quick: its fifty migrations would each wait for the disk."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

_QUICK = "/dev/shm"
# The migrations keep what they are about in one place of the process.
_one_at_a_time = threading.Lock()


def make_store(database: Path) -> None:
    """Makes MLflow's empty SQLite file where there is none, whole from the moment it is there.

    Of several processes that make it at once, one's stays. An MLflow that makes its tables otherwise does it itself.
    """
    with _one_at_a_time:
        if not database.exists():
            _make(database)


def _make(database: Path) -> None:
    try:
        from mlflow.store.db import utils
    except ImportError:
        return
    parts: Any = utils
    # The models of both stores must be known before their tables are made.
    import mlflow.store.model_registry.dbmodels.models
    import mlflow.store.tracking.dbmodels.models  # noqa: F401

    logging.getLogger("alembic").setLevel(logging.WARNING)
    folder = _QUICK if os.access(_QUICK, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="eagleray-", dir=folder) as quick:
        made = Path(quick, "mlflow.db")
        engine = parts.create_sqlalchemy_engine(f"sqlite:///{made}")
        parts._initialize_tables(engine)
        engine.dispose()
        _publish(made, database)


def _publish(made: Path, database: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=database.parent) as beside:
        fresh = Path(beside, made.name)
        shutil.copyfile(made, fresh)
        # Another was quicker, and may have written to it already; or there are no links here: MLflow makes it itself.
        with contextlib.suppress(OSError):
            os.link(fresh, database)
