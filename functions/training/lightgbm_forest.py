"""Random forests and extremely randomised trees (Breiman 2001; Geurts 2006), grown by LightGBM and stored as its text.

A forest's margin is the mean of its trees, each a Newton step from the mean label: it rises with the share of
positives in a row's leaves, but is not their log-odds. Calibration makes it so. Grades are learned as values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .learner import Choice, Config, Fitted, Fold, LogInteger, Patience, Space, Uniform
from .lightgbm_model import LightGBMBooster, LightGBMLearner, LightGBMTrainer

_PATIENT_TREES = 30
_MOST_TREES = 200


class ForestLearner(LightGBMLearner):
    """Trees that know nothing of each other, each of some rows and, at each split, of some features; with `extra`
    a split's threshold is drawn, not sought."""

    NAME = "forest"
    extra = False

    def space(self, rows: int) -> Space:
        """Tree size and its brake, the share of rows of a tree and of features at a split, and the number of bins."""
        return {
            "num_leaves": LogInteger(8, max(16, min(512, rows // 4))),
            "min_data_in_leaf": LogInteger(1, 64),
            "bagging_fraction": Uniform(0.3, 0.95),
            "feature_fraction_bynode": Uniform(0.2, 1.0),
            "max_bin": Choice((256, 1024)),
        }

    def starts(self, rows: int) -> Sequence[Config]:
        """Small trees, then larger ones of all features, then the largest of few."""
        most = max(16, min(512, rows // 4))
        common: Config = {"bagging_fraction": 0.63, "max_bin": 256}
        return (
            {**common, "num_leaves": 16, "min_data_in_leaf": 10, "feature_fraction_bynode": 0.6},
            {**common, "num_leaves": min(128, most), "min_data_in_leaf": 5, "feature_fraction_bynode": 1.0},
            {**common, "num_leaves": most, "min_data_in_leaf": 2, "feature_fraction_bynode": 0.35},
        )

    def trainer(self, fold: Fold) -> ForestTrainer:
        """A trainer for that fold."""
        return ForestTrainer(fold, extra=self.extra)

    def booster(self, data: bytes) -> ForestBooster:
        """A forest from its text."""
        return ForestBooster(data)


class ExtraTreesLearner(ForestLearner):
    """A forest whose thresholds are drawn at random: smoother, and quick.

    LightGBM draws from a feature's whole range, so small nodes often stay whole: such trees are coarser than others.
    """

    NAME = "extra_trees"
    extra = True


class ForestTrainer(LightGBMTrainer):
    """A round is a tree; they stop where more do not help."""

    most_rounds = _MOST_TREES

    def __init__(self, fold: Fold, *, extra: bool) -> None:
        super().__init__(fold)
        self._extra = extra

    def patient_rounds(self, config: Config) -> int:
        """So many trees without a better value are enough."""
        return _PATIENT_TREES

    def fitted(self, booster: Any, patience: Patience, best: npt.NDArray[np.floating]) -> Fitted:
        """All trees: where fewer judge better, that is chance."""
        total = booster.predict(self._fold.x_valid, raw_score=True, num_threads=1)
        margins = np.asarray(total / max(1, patience.trained), dtype=np.float32)
        return Fitted(patience.trained, patience.trained, margins=margins, cut=patience.cut)

    def params(self, config: Config, seed: int) -> dict[str, Any]:
        """A forest's, beside the booster's."""
        plain = super().params(config, seed) | {"boosting": "rf", "extra_trees": self._extra, "extra_seed": seed}
        return plain if self._fold.task == "classification" else plain | {"objective": "regression"}


class ForestBooster(LightGBMBooster):
    """LightGBM adds up a forest's trees where raw scores or contributions are asked for; here they are averaged."""

    def __reduce__(self) -> tuple[type[ForestBooster], tuple[bytes]]:
        return ForestBooster, (self.data,)

    def margins(self, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """One margin a row."""
        out: npt.NDArray[np.floating] = super().margins(rows) / self.live.num_trees()
        return out

    def contributions(self, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """TreeSHAP (Lundberg 2018), the last column the base value."""
        out: npt.NDArray[np.floating] = super().contributions(rows) / self.live.num_trees()
        return out


FOREST, EXTRA_TREES = ForestLearner(), ExtraTreesLearner()
