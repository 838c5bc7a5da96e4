"""Fitting what a search chose once more, on other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from ..runtime.errors import InputError, did_you_mean
from .evaluation.splits import Split, groups_of
from .feature_profile import profile_of
from .model import Member, Model
from .training.learner import Config, Fold, Learner


@dataclass(frozen=True, slots=True)
class Part:
    """One booster's making: the learner, its settings, for how many rounds it learned, and its share of the margin."""

    learner: str
    config: Config
    rounds: int
    weight: float


def fit_parts(
    parts: Sequence[Part],
    like: Model,
    table: pl.DataFrame,
    *,
    learners: Mapping[str, Learner],
    groups: str = "",
    seed: int,
) -> Model:
    """A model as `like`, its members fitted on all rows of the table; raises `InputError`."""
    for name in (*like.features, like.label, *([groups] if groups else [])):
        if name not in table.columns:
            raise InputError(f"the table lacks {name!r}{did_you_mean(name, table.columns)}")
    if not table.height:
        raise InputError("the table has no rows to learn from")
    columns = [table[name].cast(pl.Float32).fill_null(np.nan).to_numpy() for name in like.features]
    labels = table[like.label].cast(pl.Float32).to_numpy()
    queries = groups_of(table, Split(groups=groups), np.arange(table.height)) if like.task == "ranking" else None
    # No row judges: how long to learn is known by now.
    fold = Fold(x=np.column_stack(columns), y=labels, train_rows=table.height, task=like.task, metric="",
                queries=queries)  # fmt: skip
    members = []
    for part in parts:
        made = learners[part.learner]
        fitted = made.trainer(fold).refit(part.config, rounds=part.rounds, seed=seed)
        members.append(Member(part.learner, made.booster(fitted), part.weight, made.SUFFIX))
    return replace(like, members=tuple(members), version="", run_id="", metrics={}, intervals={},
        origin=replace(like.origin, pins={}), profile=profile_of(fold.x, like.features))  # fmt: skip
