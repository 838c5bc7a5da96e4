"""Fitting what a search chose once more, on other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from ..training.learner import Config, Fold, Learner
from .feature_profile import profile_of
from .model import Member, Model
from .model_rows import model_rows


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
    x, labels, queries = model_rows(like, table, groups=groups)
    # No row judges: how long to learn is known by now.
    fold = Fold(x=x, y=labels, train_rows=table.height, task=like.task, metric="",
                queries=queries)  # fmt: skip
    members = []
    for part in parts:
        made = learners[part.learner]
        fitted = made.trainer(fold).refit(part.config, rounds=part.rounds, seed=seed)
        members.append(Member(part.learner, made.booster(fitted), part.weight, made.SUFFIX))
    return replace(like, members=tuple(members), version="", run_id="", metrics={}, intervals={},
        origin=replace(like.origin, pins={}), profile=profile_of(x, like.features))  # fmt: skip
