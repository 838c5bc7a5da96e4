"""The file of the embedded MLflow, made where files are quick: its fifty migrations would each wait for the disk."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
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
        if not database.exists() and (empty := _empty()) is not None:
            _publish(empty, database)


@functools.cache
def _empty() -> bytes | None:
    """The empty file; a process makes it once, however many homes it has. None: this MLflow makes it otherwise."""
    try:
        from mlflow.store.db import utils
    except ImportError:
        return None
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
        return made.read_bytes()


def _publish(empty: bytes, database: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=database.parent) as beside:
        fresh = Path(beside, database.name)
        fresh.write_bytes(empty)
        # Another was quicker, and may have written to it already; or there are no links here: MLflow makes it itself.
        with contextlib.suppress(OSError):
            os.link(fresh, database)
