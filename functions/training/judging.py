"""Which rows a search is judged by, and what else to say of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from ..evaluation.evaluation import Judged
from ..evaluation.leakage import telling_alone
from ..evaluation.splits import Split
from .learner import Rows
from .nested import Nested
from .trainer import Portion
from .training_table import Prepared


def judged_rows(table: pl.DataFrame, prepared: Prepared, split: Split, by: Rows | Nested) -> Judged:
    """The rows with their margins: of all folds of a nested search, or else those held out, or else of validation."""
    fold, known = prepared.fold, prepared.known_rows
    if isinstance(by, Nested):
        return Judged(
            fold.task, fold.y[by.places], by.margins, table[prepared.rows[by.places]], "nested",
            split.time_column, split.groups, by.parts,
        )  # fmt: skip
    places = slice(known, known + prepared.test_rows) if prepared.test_rows else slice(fold.train_rows, known)
    return Judged(
        fold.task, fold.y[places], by, table[prepared.rows[places]], "test" if prepared.test_rows else "validation",
        split.time_column, split.groups,
    )  # fmt: skip


def notes(
    table: pl.DataFrame, features: Sequence[str], prepared: Prepared, judged: Judged, outer: Sequence[Portion]
) -> tuple[str, ...]:
    """What to look at twice: features that tell the label alone, folds that time was too short for."""
    labels = np.full(table.height, np.nan, dtype=np.float32)  # in the table's order; NaN where a row was left out
    labels[prepared.rows] = prepared.fold.y
    found = telling_alone(table, features, labels, prepared.fold.task)
    done = len(np.unique(judged.parts)) if judged.parts is not None else 0
    if done < len(outer):
        found.append(f"Time was left for {done} of {len(outer)} folds of nested cross-validation: give more budget_s.")
    return tuple(found)
