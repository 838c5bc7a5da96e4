"""Which trials are averaged."""

from __future__ import annotations

import numpy as np

from eagleray.functions.evaluation.metric import metric
from eagleray.functions.training.ensemble import choose, link

RMSE = metric("rmse")
LABELS = np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32)


def shifted(*by: float) -> np.ndarray:
    return LABELS + np.array(by, dtype=np.float32)


def test_errors_that_cancel_are_averaged_before_better_ranks_that_do_not() -> None:
    margins = {7: shifted(1, 0, -1, 0), 5: shifted(1, 0.2, -1, 0.2), 3: shifted(-1.1, 0, 1.1, 0)}
    chosen, loss = choose([7, 5, 3], margins=margins, labels=LABELS, metric=RMSE, most=2)
    assert chosen == [7, 3]
    assert loss < 0.1


def test_equals_are_averaged_up_to_the_most() -> None:
    margins = dict.fromkeys([4, 2, 9, 1], shifted(0.5, 0, 0, 0))
    assert choose([4, 2, 9, 1], margins=margins, labels=LABELS, metric=RMSE, most=3)[0] == [4, 2, 9]
    assert choose([4, 2, 9, 1], margins=margins, labels=LABELS, metric=RMSE, most=1)[0] == [4]


def test_the_best_stands_alone_where_every_other_harms() -> None:
    margins = {1: shifted(0, 0, 0, 0.1), 2: shifted(1, 1, 1, 1)}
    assert choose([1, 2], margins=margins, labels=LABELS, metric=RMSE, most=3)[0] == [1]


def test_trials_whose_margins_were_not_kept_are_passed_over() -> None:
    assert choose([9, 1], margins={1: LABELS}, labels=LABELS, metric=RMSE, most=2)[0] == [1]


def test_the_link_never_overflows() -> None:
    scores = link(np.array([-1e9, 0.0, 1e9]), "classification")
    assert scores[0] < 1e-30
    assert scores[1:].tolist() == [0.5, 1.0]
