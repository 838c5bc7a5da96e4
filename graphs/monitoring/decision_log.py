"""What was served to whom: ids, times, scores and rows, bounded, kept over restarts, met with late labels."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from ...runtime.errors import InputError
from .journal import Journal
from .quality import Labelled, join
from .tap import TapBatch

CAPACITY = 100_000
FEATURE = "feature."
REASONS = "reasons"


class DecisionLog:
    """The newest `capacity` decisions (whole batches), and twice as many labels, in memory and on disk.

    A label may come before its decision. What the disk refused is in memory only; `append` and `label`
    raise the `OSError` after they have done the rest.
    """

    def __init__(self, folder: Path, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._batches: deque[TapBatch] = deque()
        self._rows = 0
        self._labels: dict[str, float] = {}
        self._decisions_on_disk = Journal(folder / "decisions", capacity=capacity)
        self._labels_on_disk = Journal(folder / "labels", capacity=2 * capacity)
        for record in self._decisions_on_disk.read():
            self._keep(_from_record(record))
        for record in self._labels_on_disk.read():
            self._keep_labels(record.column("request_id").to_pylist(), record.column("label").to_pylist())

    def __len__(self) -> int:
        return self._rows

    def append(self, batch: TapBatch) -> None:
        """Adds what a tap sent."""
        if len(batch):
            self._keep(batch)
            self._decisions_on_disk.append(_to_record(batch))

    def label(self, ids: Sequence[str], labels: Sequence[float]) -> None:
        """Notes labels; of a repeated id the last one counts. Raises `InputError` when the lengths differ."""
        if len(ids) != len(labels):
            raise InputError(f"{len(ids)} ids but {len(labels)} labels: give one label to each id")
        # A source that hands over all its labels every time must not fill the disk with them.
        fresh = {str(i): float(y) for i, y in zip(ids, labels, strict=True)}
        fresh = {i: y for i, y in fresh.items() if self._labels.get(i) != y}
        if fresh:
            self._keep_labels(list(fresh), list(fresh.values()))
            arrays = [pa.array(list(fresh), pa.string()), pa.array(list(fresh.values()), pa.float64())]
            self._labels_on_disk.append(pa.RecordBatch.from_arrays(arrays, ["request_id", "label"]))

    def labelled(self, *, since_us: int | None = None, until_us: int | None = None) -> Labelled:
        """The decisions of that time (start included, end not) met with their labels."""
        ids: list[str] = []
        scores: list[np.ndarray[Any, np.dtype[np.float64]]] = []
        for batch in self._batches:
            inside = np.ones(len(batch), bool)
            if since_us is not None:
                inside &= batch.ts_us >= since_us
            if until_us is not None:
                inside &= batch.ts_us < until_us
            ids.extend(one for one, chosen in zip(batch.ids, inside, strict=True) if chosen)
            scores.append(batch.scores[inside])
        return join(ids, np.concatenate([np.empty(0), *scores]), self._labels)

    def find(self, ids: Sequence[str]) -> pl.DataFrame:
        """Decisions by id: request_id, ts_us, score, `feature.<name>` columns, label (null: not known yet).

        Where the graph explains with reason codes also `reasons` (the codes) and `reasons_version`.
        """
        wanted = set(ids)
        frames = [_to_frame(b).filter(pl.col("request_id").is_in(ids)) for b in self._batches if wanted & {*b.ids}]
        empty = pl.DataFrame(schema={"request_id": pl.String, "ts_us": pl.Int64, "score": pl.Float64})
        found = pl.concat([empty, *frames], how="diagonal")
        labels = [self._labels.get(one) for one in found.get_column("request_id")]
        return found.with_columns(pl.Series("label", labels, pl.Float64))

    def _keep(self, batch: TapBatch) -> None:
        self._batches.append(batch)
        self._rows += len(batch)
        while len(self._batches) > 1 and self._rows - len(self._batches[0]) >= self._capacity:
            self._rows -= len(self._batches.popleft())

    def _keep_labels(self, ids: Sequence[str], labels: Sequence[float]) -> None:
        for one, label in zip(ids, labels, strict=True):
            self._labels.pop(one, None)  # the newest stand last
            self._labels[one] = label
        while len(self._labels) > 2 * self._capacity:
            del self._labels[next(iter(self._labels))]


def _to_record(batch: TapBatch) -> Any:
    columns = {
        "request_id": pa.array(batch.ids, pa.string()),
        "ts_us": pa.array(batch.ts_us),
        "score": pa.array(batch.scores),
    }
    if batch.reasons:
        columns[REASONS] = pa.array([list(one) for one in batch.reasons], pa.list_(pa.string()))
    features = {FEATURE + name: pa.array(batch.rows[:, i]) for i, name in enumerate(batch.names)}
    return pa.RecordBatch.from_pydict(columns | features)


def _from_record(record: Any) -> TapBatch:
    names = tuple(name for name in record.schema.names if name.startswith(FEATURE))
    columns = [record.column(name).to_numpy(zero_copy_only=False) for name in names]
    return TapBatch(
        names=tuple(name.removeprefix(FEATURE) for name in names),
        ids=record.column("request_id").to_pylist(),
        rows=np.column_stack(columns) if columns else np.empty((record.num_rows, 0)),
        scores=record.column("score").to_numpy(zero_copy_only=False),
        ts_us=record.column("ts_us").to_numpy(zero_copy_only=False),
        reasons=record.column(REASONS).to_pylist() if REASONS in record.schema.names else (),
    )


def _to_frame(batch: TapBatch) -> pl.DataFrame:
    features: dict[str, Any] = {FEATURE + name: batch.rows[:, i] for i, name in enumerate(batch.names)}
    if batch.reasons:
        features["reasons"] = pl.Series([list(one[1:]) for one in batch.reasons], dtype=pl.List(pl.String))
        features["reasons_version"] = pl.Series([one[0] if one else None for one in batch.reasons], dtype=pl.String)
    return pl.DataFrame({"request_id": batch.ids, "ts_us": batch.ts_us, "score": batch.scores, **features})
