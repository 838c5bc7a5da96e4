"""XGBoost as a learner: leaf-wise histogram trees, stored as UBJSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..evaluation.metric import Task
from .bins import bins_for, leaves_for
from .ensemble import link
from .learner import Choice, Config, Fitted, Fold, LogInteger, LogUniform, Patience, Rows, Space, Uniform
from .queries import query_by_query
from .tree_contributions import Contributions, contributions
from .xgboost_direct import direct
from .xgboost_trees import trees

if TYPE_CHECKING:
    import xgboost

_MOST_ROUNDS = 3000
_LOOK_STEP = 0.2  # so much of learning rates between two looks at the rows that judge
_OBJECTIVES: Mapping[Task, str] = {
    "classification": "binary:logistic", "regression": "reg:squarederror", "ranking": "rank:ndcg",
}  # fmt: skip
Predict = Callable[[Rows], npt.NDArray[np.floating]]


class XGBoostLearner:
    """XGBoost's native API; the library itself is loaded by the trainer or the booster."""

    NAME = "xgboost"
    SUFFIX = "ubj"

    def space(self, rows: int) -> Space:
        """Learning rate, tree size and its brakes, sampling, and the number of bins."""
        return {
            "learning_rate": LogUniform(0.01, 0.5),
            "max_leaves": LogInteger(4, leaves_for(rows)),
            "min_child_weight": LogUniform(0.001, 128.0),
            "subsample": Uniform(0.5, 1.0),
            "colsample_bylevel": Uniform(0.2, 1.0),
            "colsample_bytree": Uniform(0.3, 1.0),
            "reg_alpha": LogUniform(1 / 1024, 1024.0),
            "reg_lambda": LogUniform(1 / 1024, 1024.0),
            "max_bin": Choice(bins_for(rows)),
        }

    def starts(self, rows: int) -> Sequence[Config]:
        """A small quick booster, then the textbook one, then finer bins with stronger brakes."""
        leaves, finest = leaves_for(rows), bins_for(rows)[-1]
        common: Config = {"reg_alpha": 1 / 1024, "reg_lambda": 1.0, "colsample_bylevel": 1.0}
        return (
            {**common, "learning_rate": 0.3, "max_leaves": 8, "min_child_weight": 1.0, "subsample": 1.0}
            | {"colsample_bytree": 1.0, "max_bin": 256},
            {**common, "learning_rate": 0.1, "max_leaves": min(31, leaves), "min_child_weight": 1.0}
            | {"subsample": 0.9, "colsample_bytree": 0.9, "max_bin": min(1024, finest)},
            {**common, "learning_rate": 0.06, "max_leaves": min(16, leaves), "min_child_weight": 5.0}
            | {"subsample": 0.8, "colsample_bytree": 0.6, "max_bin": finest},
        )

    def trainer(self, fold: Fold) -> XGBoostTrainer:
        """A trainer for that fold."""
        return XGBoostTrainer(fold)

    def booster(self, data: bytes) -> XGBoostBooster:
        """A booster from its UBJSON bytes."""
        return XGBoostBooster(data)


class XGBoostTrainer:
    """Trains on one thread; the binned matrices are made once per max_bin and shared by all trials."""

    def __init__(self, fold: Fold) -> None:
        import xgboost

        self._xgb = xgboost
        self._fold = fold
        self._binned: dict[int, xgboost.DMatrix] = {}

    def train(self, config: Config, *, limit_s: float, seed: int) -> Fitted:
        """Boosts until the metric on the validation rows has not improved for a while."""
        rows, labels, task = self._fold.x_valid, self._fold.y_valid, self._fold.task
        # Small steps need more rounds to show that they have stopped helping.
        patience = Patience(self._fold, rounds=int(np.clip(3 / config["learning_rate"], 15, 100)), limit_s=limit_s)

        # Looking at the rows takes a third of a trial and more, however many trees are added to what they have.
        every = max(1, round(_LOOK_STEP / config["learning_rate"]))

        class StopAtBest(self._xgb.callback.TrainingCallback):  # type: ignore[misc, name-defined]
            margins: Rows | None = None
            best = np.zeros(len(rows), dtype=np.float32)
            seen = 0

            def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
                if epoch + 1 < self.seen + every and not patience.is_over:
                    return False
                # The newest trees alone, on top of the margins so far, and the rows read where all workers share them:
                # a binned matrix to judge by took three times as long as the boosting itself.
                self.margins = model.inplace_predict(
                    rows, iteration_range=(self.seen, epoch + 1), predict_type="margin", base_margin=self.margins,
                    validate_features=False,
                )  # fmt: skip
                self.seen = epoch + 1
                stops = patience.after_round(self.seen, labels, link(self.margins, task))
                if patience.best_round == self.seen:
                    self.best = self.margins
                return stops

        bins = int(config["max_bin"])
        if bins not in self._binned:
            self._binned[bins] = self._matrix(bins, taught=True)
        at_best = StopAtBest()
        self._xgb.train(self.params(config, seed), self._binned[bins], _MOST_ROUNDS, callbacks=[at_best])
        return Fitted(patience.best_round, patience.trained, margins=at_best.best, cut=patience.cut)

    def refit(self, config: Config, *, rounds: int, seed: int) -> bytes:
        """Boosts all rows for so many rounds."""
        bins = int(config["max_bin"])
        everything = self._matrix(bins, taught=False)
        booster = self._xgb.train(self.params(config, seed), everything, rounds)
        return bytes(booster.save_raw("ubj"))

    def _matrix(self, bins: int, *, taught: bool) -> xgboost.DMatrix:
        fold = self._fold
        if fold.task == "ranking":
            x, y, queries = query_by_query(fold, taught=taught)
            return self._xgb.QuantileDMatrix(x, y, qid=queries, max_bin=bins, nthread=1)
        x, y = (fold.x_train, fold.y_train) if taught else (fold.x, fold.y)
        return self._xgb.QuantileDMatrix(x, y, max_bin=bins, nthread=1)

    def params(self, config: Config, seed: int) -> dict[str, Any]:
        """XGBoost's parameters for a configuration, on one thread."""
        objective = _OBJECTIVES[self._fold.task]
        return {
            **config,
            "objective": objective,
            "tree_method": "hist",
            "grow_policy": "lossguide",
            "max_depth": 0,
            "disable_default_eval_metric": True,
            "nthread": 1,
            "seed": seed,
            "verbosity": 0,
        }


class XGBoostBooster:
    """A booster that predicts on one thread: a single row is done before a thread has woken."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._live: Any = None
        self._margins: Predict | None = None
        self._scores: Predict | None = None
        self._explained: Contributions | None = None

    def __reduce__(self) -> tuple[type[XGBoostBooster], tuple[bytes]]:
        return XGBoostBooster, (self._data,)

    @property
    def data(self) -> bytes:
        """The booster as UBJSON."""
        return self._data

    @property
    def live(self) -> Any:
        """XGBoost's own object, loaded now if it is not yet."""
        return self._live or self._load()

    def margins(self, rows: Rows) -> npt.NDArray[np.floating]:
        """One margin a row (one a class), read from the array in place."""
        return (self._margins or self._way("margin"))(rows)

    def scores(self, rows: Rows) -> npt.NDArray[np.floating]:
        """What the objective makes of the margins."""
        return (self._scores or self._way("value"))(rows)

    def contributions(self, rows: Rows) -> npt.NDArray[np.floating]:
        """TreeSHAP (Lundberg 2018), the last column the base value. The trees are prepared by the first call."""
        explained = self._explained
        if explained is None:
            live = self.live
            library = partial(_contributions_by_matrix, live)
            explained = contributions(trees(live), width=live.num_features(), library=library)
            self._explained = explained
        return explained(np.asarray(rows, np.float32))

    def _way(self, kind: str) -> Predict:
        """How it predicts, found once."""
        live = self.live
        way = None if '"gblinear"' in live.save_config() else direct(live, margin=kind == "margin")
        way = way or partial(_by_matrix, live, kind == "margin")
        if kind == "margin":
            self._margins = way
        else:
            self._scores = way
        return way

    def _load(self) -> Any:
        import xgboost

        live = xgboost.Booster(model_file=bytearray(self._data))
        live.set_param({"nthread": 1})
        self._live = live
        return live


def _by_matrix(live: Any, margin: bool, rows: Rows) -> npt.NDArray[np.floating]:
    import xgboost

    out: npt.NDArray[np.floating] = live.predict(
        xgboost.DMatrix(rows, nthread=1), output_margin=margin, validate_features=False
    )
    return out


def _contributions_by_matrix(live: Any, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    import xgboost

    out: npt.NDArray[np.floating] = live.predict(
        xgboost.DMatrix(rows, nthread=1), pred_contribs=True, validate_features=False
    )
    return out


LEARNER = XGBoostLearner()
