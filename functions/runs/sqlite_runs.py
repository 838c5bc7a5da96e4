"""The runs of the embedded store, read from its SQLite file: MLflow takes seconds to import, and a list is wanted now.

MLflow's tables are its own business, so they are read only at the revisions that the tests have compared with what
MLflow says; at any other the caller asks MLflow.
"""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

from .run import Run

KNOWN_REVISIONS = frozenset({"dc11669786a5"})
_PARENT = "mlflow.parentRunId"
_RUNS = """
SELECT run_uuid, experiments.name, runs.name, status, start_time, end_time
FROM runs JOIN experiments USING (experiment_id)
WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active' AND (? IS NULL OR experiments.name = ?)
ORDER BY start_time DESC, run_uuid LIMIT ?
"""


def recent(database: Path, *, experiment: str | None = None, limit: int = 1000) -> list[Run] | None:
    """Runs, newest first; None for a database of another revision, and where there is no such run: MLflow knows why."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as store:
            (revision,) = store.execute("SELECT version_num FROM alembic_version").fetchone()
            if revision not in KNOWN_REVISIONS:
                return None
            rows = store.execute(_RUNS, (experiment, experiment, limit)).fetchall()
            ids = [row[0] for row in rows]
            params = _pairs(store, "SELECT run_uuid, key, value FROM params", ids)
            tags = _pairs(store, "SELECT run_uuid, key, value FROM tags", ids)
            metrics = _pairs(store, "SELECT run_uuid, key, iif(is_nan, NULL, value) FROM latest_metrics", ids)
    except (sqlite3.Error, TypeError, ValueError):
        return None
    found = [
        Run(
            experiment=experiment_name,
            name=name or "",
            params=params[run_id],
            metrics={key: math.nan if value is None else value for key, value in metrics[run_id].items()},
            tags={key: value for key, value in tags[run_id].items() if not key.startswith("mlflow.")},
            id=run_id,
            parent=tags[run_id].get(_PARENT, ""),
            status=status,
            started_ms=started_ms or 0,
            ended_ms=ended_ms or 0,
        )
        for run_id, experiment_name, name, status, started_ms, ended_ms in rows
    ]
    return found or None


def _pairs(store: sqlite3.Connection, rows: str, run_ids: list[str]) -> dict[str, dict[str, Any]]:
    """Names and values by run."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    marks = ",".join("?" * len(run_ids))
    for run_id, key, value in store.execute(f"{rows} WHERE run_uuid IN ({marks})", run_ids):
        found[run_id][key] = value
    return found
