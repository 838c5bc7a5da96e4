"""Reason codes: which features become reasons of a decision, in what order, with which words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from eagleray import DefinitionError, ReasonCodes
from eagleray.functions.models.reason_codes import decided

FEATURES = ("amount_1h", "amount_1d", "age", "night", "country", "count")
CODES = ReasonCodes(
    version="2",
    texts={"R1": "unusual amounts", "R2": "account is new", "R3": "at night", "R4": "abroad", "R5": "often"},
    codes={"amount_1h": "R1", "amount_1d": "R1", "age": "R2", "night": "R3", "country": "R4", "count": "R5"},
)


def codes(parts: list[float], *, is_positive: bool = True, by: ReasonCodes = CODES) -> list[str]:
    return [one.code for one in by.of(FEATURES, np.array(parts), is_positive=is_positive)]


def test_only_what_pushes_to_the_decision_is_a_reason_the_strongest_first() -> None:
    parts = [0.5, 0.25, -0.2, 0.9, 0.0, 0.1]
    found = CODES.of(FEATURES, np.array(parts), is_positive=True)
    assert [(one.code, one.text, one.contribution) for one in found] == [
        ("R3", "at night", 0.9), ("R1", "unusual amounts", 0.75), ("R5", "often", 0.1),
    ]  # fmt: skip
    against = CODES.of(FEATURES, np.array(parts), is_positive=False)
    assert [(one.code, one.contribution) for one in against] == [("R2", -0.2)]


def test_features_of_one_code_weigh_together_and_ties_stay_in_the_features_order() -> None:
    assert codes([0.5, -0.6, 0.1, 0.1, 0.1, 0.1]) == ["R2", "R3", "R4", "R5"], "together R1 pushes away"
    assert codes([0.1, 0.0, 0.1, 0.1, 0.1, 0.1]) == ["R1", "R2", "R3", "R4"], "at most four"
    few = ReasonCodes(CODES.texts, version="1", codes=CODES.codes, most=1)
    assert codes([0.1, 0.0, 0.2, 0.1, 0.1, 0.1], by=few) == ["R2"]


def test_without_codes_the_features_own_names_are_codes_and_others_are_silent() -> None:
    own = ReasonCodes({"night": "it was night"}, version="1")
    assert codes([5.0, 5.0, 5.0, 0.1, 5.0, 5.0], by=own) == ["night"]


def test_the_side_is_that_of_the_threshold_or_of_the_base() -> None:
    down = np.array([-0.5, 0.2])
    assert decided(0.3, down, 0.3)
    assert not decided(0.29, -down, 0.3)
    assert not decided(0.9, down, None)
    assert decided([0.1, 0.9], -down, 0.5), "of several scores the base tells"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"texts": {"R1": "x"}, "version": ""}, "need a version"),
        ({"texts": {"R1": "x"}, "version": "1", "most": 5}, "most from 1 to 4"),
        ({"texts": {"R1": "x"}, "version": "1", "codes": {"a": "R2"}}, "'R2' without a text; known: R1"),
    ],
)
def test_codes_that_cannot_be_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        ReasonCodes(**given)


def test_a_feature_that_the_model_lacks_is_suggested_and_json_gives_the_same() -> None:
    with pytest.raises(DefinitionError, match="'night', no feature of the model; did you mean 'nights'"):
        CODES.check(["amount_1h", "amount_1d", "age", "nights", "country", "count"])
    CODES.check(FEATURES)
    assert ReasonCodes.from_dict(json.loads(json.dumps(CODES.to_dict()))) == CODES
