"""A table larger than the bound of memory: what `automl.fit` takes of this process's own memory at its peak.

    python benchmarks/automl_large.py --rows 5000000 --columns 20 --memory-mb 100

Makes the table as Parquet in a temporary folder first, in blocks. Measured is the process that calls `fit`, which
samples, spills and fits all rows; the workers of the search see the sample only. Memory of its own (anonymous) is told
apart from pages of files, which the system takes back when it needs them. Linux only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from eagleray import automl

_BLOCK_ROWS = 100_000


def made(path: Path, rows: int, columns: int) -> None:
    """A label that two features and an interaction tell, with noise."""
    rng = np.random.default_rng(0)
    schema = pa.schema([*((f"f{i}", pa.float32()) for i in range(columns)), ("y", pa.int8())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, _BLOCK_ROWS):
            x = rng.normal(size=(min(_BLOCK_ROWS, rows - start), columns)).astype(np.float32)
            y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=len(x)) > 1.0).astype(np.int8)
            writer.write_table(pa.table([*(x[:, i] for i in range(columns)), y], schema=schema))


class Peak:
    """The most that this process had of its own, and of files mapped, looked at fifty times a second; in MB."""

    def __init__(self) -> None:
        self.own = self.files = 0.0
        self._over = threading.Event()
        self._look()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Looks no longer."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._look()

    def _look(self) -> None:
        parts = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        own, files, shared = (int(parts[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile", "RssShmem"))
        self.own, self.files = max(self.own, own), max(self.files, files + shared)


def main() -> None:
    """Makes the table, fits, tells."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=5_000_000)
    asked.add_argument("--columns", type=int, default=20)
    asked.add_argument("--memory-mb", type=int, default=100)
    asked.add_argument("--budget-s", type=float, default=30.0)
    asked.add_argument("--learners", nargs="+", default=["xgboost", "lightgbm"])
    asked.add_argument("--table", type=Path, default=None)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = given.table or Path(folder) / "large.parquet"
        if given.table is None:  # in a process of its own, whose peak is not ours
            subprocess.run([sys.executable, __file__, "--table", str(table), "--rows", str(given.rows),
                            "--columns", str(given.columns), "--memory-mb", "0"], check=True)  # fmt: skip
        elif given.memory_mb == 0:
            made(table, given.rows, given.columns)
            return
        import lightgbm  # noqa: F401 - what is loaded anyway is told apart from what the rows take
        import ray  # noqa: F401
        import xgboost  # noqa: F401

        peak, began = Peak(), time.monotonic()
        before, files = peak.own, peak.files
        options = automl.AutoMLOptions(
            memory_bytes=given.memory_mb << 20, track=False, learners=given.learners, calibration="none"
        )
        run = automl.fit(table, label="y", metric="roc_auc", budget_s=given.budget_s, options=options)
        seconds = time.monotonic() - began
        peak.close()
        size = 4 * given.rows * given.columns >> 20
        print(f"table {given.rows:,} x {given.columns} float32, {size} MB; bound {given.memory_mb} MB")
        print(f"peak above the libraries: {peak.own - before:.0f} MB of its own, {peak.files - files:.0f} MB of files; "
              f"{seconds:.0f} s for a budget of {given.budget_s:.0f} s; load {os.getloadavg()[0]:.1f}")  # fmt: skip
        print(
            f"searched over {run.about['sample_rows']:,} rows; {run.about['final_fit']} in {run.about['final_fit_s']} s"
        )
        late = pl.scan_parquet(table).tail(_BLOCK_ROWS).collect()
        from sklearn.metrics import roc_auc_score

        scores = run.model.predict(late.select(run.model.features).to_numpy())
        print(f"ROC AUC judged {run.metrics['roc_auc']:.4f}, of rows among all {roc_auc_score(late['y'], scores):.4f}")


if __name__ == "__main__":
    main()
