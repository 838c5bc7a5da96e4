"""Gates: which figures pass, and what is said of those that do not."""

from __future__ import annotations

import math

import pytest

from eagleray import DefinitionError, Gate
from eagleray.functions.models.gate import refusals

NAN = math.nan


@pytest.mark.parametrize(
    ("gate", "value", "champion", "says"),
    [
        (Gate("roc_auc", at_least=0.8), 0.8, None, ""),
        (Gate("roc_auc", at_least=0.8), 0.79, None, "roc_auc is 0.79, which is less than 0.8"),
        (Gate("rmse", at_most=2.0), 2.5, None, "rmse is 2.5, which is more than 2"),
        (Gate("roc_auc", better_than="champion"), 0.1, None, ""),
        (Gate("roc_auc", better_than="champion"), 0.71, 0.7, ""),
        (Gate("roc_auc", better_than="champion"), 0.7, 0.7, "that of champion 0.7: it must be better"),
        (Gate("rmse", better_than="champion"), 0.7, 0.71, ""),
        (Gate("rmse", better_than="champion"), 0.72, 0.71, "that of champion 0.71: it must be better"),
        (Gate("roc_auc", better_than="champion", by=0.25), 0.75, 0.5, ""),
        (Gate("roc_auc", better_than="champion", by=0.25), 0.74, 0.5, "it must be better by 0.25 or more"),
        (Gate("roc_auc", better_than="champion"), 0.1, NAN, ""),
        (Gate("roc_auc", better_than="champion"), NAN, None, "could not be computed"),
        (Gate("profit", better_than="champion"), 3.0, 2.0, ""),
    ],
)
def test_a_gate_judges_a_figure(gate: Gate, value: float, champion: float | None, says: str) -> None:
    others = {} if champion is None else {"champion": {gate.metric: champion}}
    found = gate.refusals({gate.metric: value}, others)
    assert len(found) == bool(says)
    assert says in "".join(found)


def test_every_reason_is_told_and_a_metric_that_is_not_there_is_suggested() -> None:
    gates = [Gate("roc_acu", at_least=0.1), Gate("rmse", at_least=5, at_most=1), Gate("roc_auc", at_least=0.5)]
    assert refusals(gates, {"roc_auc": 0.9, "rmse": 2.0}, {}) == [
        "roc_acu is not known; did you mean 'roc_auc'?",
        "rmse is 2, which is less than 5",
        "rmse is 2, which is more than 1",
    ]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"at_least": NAN}, {"at_least": 0.5, "by": 0.1}, {"better_than": "champion", "by": -0.1}],
)
def test_a_gate_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DefinitionError, match="the gate on 'roc_auc'"):
        Gate("roc_auc", **wrong)  # type: ignore[arg-type]
