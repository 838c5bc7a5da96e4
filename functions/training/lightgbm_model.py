"""LightGBM as a learner: leaf-wise histogram trees, stored as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..evaluation.metric import Task
from ..evaluation.ndcg import HIGHEST_GRADE
from .bins import bins_for, leaves_for
from .ensemble import unlink
from .learner import Choice, Config, Fitted, Fold, LogInteger, LogUniform, Patience, Space, Uniform
from .lightgbm_trees import trees
from .queries import query_by_query
from .tree_contributions import Contributions, contributions

if TYPE_CHECKING:
    import lightgbm

_MOST_ROUNDS = 3000
_OBJECTIVES: Mapping[Task, str] = {"classification": "binary", "regression": "regression", "ranking": "lambdarank"}
_GAINS = [2**grade - 1 for grade in range(HIGHEST_GRADE + 1)]


class LightGBMLearner:
    """LightGBM's native API; the library itself is loaded by the trainer or the booster."""

    NAME = "lightgbm"
    SUFFIX = "txt"

    def space(self, rows: int) -> Space:
        """Learning rate, tree size and its brakes, sampling, and the number of bins."""
        return {
            "learning_rate": LogUniform(0.01, 0.5),
            "num_leaves": LogInteger(4, leaves_for(rows)),
            "min_data_in_leaf": LogInteger(2, 256),
            "bagging_fraction": Uniform(0.5, 1.0),
            "feature_fraction": Uniform(0.3, 1.0),
            "lambda_l1": LogUniform(1 / 1024, 1024.0),
            "lambda_l2": LogUniform(1 / 1024, 1024.0),
            "max_bin": Choice(bins_for(rows)),
        }

    def starts(self, rows: int) -> Sequence[Config]:
        """A small quick booster, then the textbook one, then finer bins with stronger brakes."""
        leaves, finest = leaves_for(rows), bins_for(rows)[-1]
        common: Config = {"lambda_l1": 1 / 1024, "lambda_l2": 1.0}
        return (
            {**common, "learning_rate": 0.3, "num_leaves": 8, "min_data_in_leaf": 20, "max_bin": 256}
            | {"bagging_fraction": 1.0, "feature_fraction": 1.0},
            {**common, "learning_rate": 0.1, "num_leaves": min(31, leaves), "min_data_in_leaf": 20}
            | {"bagging_fraction": 0.9, "feature_fraction": 0.9, "max_bin": min(1024, finest)},
            {**common, "learning_rate": 0.06, "num_leaves": min(16, leaves), "min_data_in_leaf": 60}
            | {"bagging_fraction": 0.8, "feature_fraction": 0.6, "max_bin": finest},
        )

    def trainer(self, fold: Fold) -> LightGBMTrainer:
        """A trainer for that fold."""
        return LightGBMTrainer(fold)

    def booster(self, data: bytes) -> LightGBMBooster:
        """A booster from its text."""
        return LightGBMBooster(data)


class LightGBMTrainer:
    """Trains on one thread; the binned datasets are made once per max_bin and shared by all trials."""

    most_rounds = _MOST_ROUNDS

    def __init__(self, fold: Fold) -> None:
        import lightgbm

        self._lgb = lightgbm
        self._fold = fold
        self._binned: dict[int, tuple[lightgbm.Dataset, lightgbm.Dataset]] = {}

    def train(self, config: Config, *, limit_s: float, seed: int) -> Fitted:
        """Boosts until the metric on the validation rows has not improved for a while."""
        learn, judge = self._datasets(int(config["max_bin"]))
        labels = self._fold.y_valid
        patience = Patience(self._fold, rounds=self.patient_rounds(config), limit_s=limit_s)
        booster = self._lgb.Booster(params=self.params(config, seed), train_set=learn)
        booster.add_valid(judge, "valid")
        number, stop, best = 0, False, np.full(len(labels), 0.5)

        def look(scores: npt.NDArray[np.floating], _: Any) -> tuple[str, float, bool]:
            nonlocal stop, best
            stop = patience.after_round(number, labels, scores)
            if patience.best_round == number:
                best = scores.copy()
            return "metric", patience.best_value, False

        while not stop and number < self.most_rounds:
            number += 1
            exhausted = booster.update()
            # The evaluation keeps the validation scores up to date: no tree is walked twice.
            booster.eval_valid(feval=look)
            stop = stop or exhausted
        return self.fitted(booster, patience, best)

    def refit(self, config: Config, *, rounds: int, seed: int) -> bytes:
        """Boosts all rows for so many rounds."""
        everything = self._dataset(int(config["max_bin"]), taught=False)
        booster = self._lgb.train(self.params(config, seed), everything, rounds)
        text: str = booster.model_to_string()
        return text.encode()

    def patient_rounds(self, config: Config) -> int:
        """So many rounds without a better value are enough."""
        return int(np.clip(3 / config["learning_rate"], 15, 100))

    def fitted(self, booster: Any, patience: Patience, best: npt.NDArray[np.floating]) -> Fitted:
        """What training came to, by the scores at the best round: to predict anew takes a tenth of a trial."""
        margins = unlink(best, self._fold.task).astype(np.float32)
        return Fitted(patience.best_round, patience.trained, margins=margins, cut=patience.cut)

    def _datasets(self, bins: int) -> tuple[lightgbm.Dataset, lightgbm.Dataset]:
        if bins not in self._binned:
            fold, params = self._fold, self.data_params(bins)
            learn = self._dataset(bins, taught=True)
            judge = learn.create_valid(fold.x_valid, fold.y_valid, params=params)
            self._binned[bins] = (learn.construct(), judge.construct())
        return self._binned[bins]

    def _dataset(self, bins: int, *, taught: bool) -> lightgbm.Dataset:
        fold, params = self._fold, self.data_params(bins)
        if fold.task == "ranking":
            x, y, queries = query_by_query(fold, taught=taught)
            sizes = np.unique(queries, return_counts=True)[1]
            return self._lgb.Dataset(x, y, group=sizes, params=params, free_raw_data=not taught)
        x, y = (fold.x_train, fold.y_train) if taught else (fold.x, fold.y)
        return self._lgb.Dataset(x, y, params=params, free_raw_data=not taught)

    @staticmethod
    def data_params(bins: int) -> dict[str, Any]:
        """Those of a dataset with so many bins."""
        # Without the pre-filter off, the first trial's leaf size would decide for all that share the bins.
        return {"max_bin": bins, "feature_pre_filter": False, "num_threads": 1, "verbosity": -1}

    def params(self, config: Config, seed: int) -> dict[str, Any]:
        """LightGBM's parameters for a configuration, on one thread."""
        return {
            **config,
            **self.data_params(int(config["max_bin"])),
            "objective": _OBJECTIVES[self._fold.task],
            **({"label_gain": _GAINS} if self._fold.task == "ranking" else {}),
            "bagging_freq": 1,
            "metric": "None",
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
        }


class LightGBMBooster:
    """A booster that predicts on one thread: a single row is done before a thread has woken."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._live: Any = None
        self._explained: Contributions | None = None

    def __reduce__(self) -> tuple[type[LightGBMBooster], tuple[bytes]]:
        return LightGBMBooster, (self._data,)

    @property
    def data(self) -> bytes:
        """The booster as LightGBM's text."""
        return self._data

    @property
    def live(self) -> Any:
        """LightGBM's own object, loaded now if it is not yet."""
        return self._live or self._load()

    def margins(self, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """One margin a row."""
        live = self._live or self._load()
        out: npt.NDArray[np.floating] = live.predict(rows, raw_score=True, num_threads=1)
        return out

    def contributions(self, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """TreeSHAP (Lundberg 2018), the last column the base value. The trees are prepared by the first call."""
        explained = self._explained
        if explained is None:
            live = self.live
            library = partial(live.predict, pred_contrib=True, num_threads=1)
            explained = contributions(trees(self._data.decode()), width=live.num_feature(), library=library)
            self._explained = explained
        return explained(rows)

    def _load(self) -> Any:
        import lightgbm

        self._live = lightgbm.Booster(model_str=self._data.decode())
        return self._live


LEARNER = LightGBMLearner()
