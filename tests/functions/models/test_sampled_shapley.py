"""Shapley values of models that do not explain themselves, against all orders counted out."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from eagleray.functions.models.adding_up import adding_up
from eagleray.functions.models.sampled_shapley import SampledShapley
from eagleray.runtime.errors import EaglerayError, InputError

RNG = np.random.default_rng(3)
BACKGROUND = RNG.normal(size=(20, 4))
ROWS = RNG.normal(size=(5, 4))


class Made:
    """A model of any function of rows."""

    def __init__(self, width: int, score: Callable[[np.ndarray], np.ndarray]) -> None:
        self.features = tuple(f"f{place}" for place in range(width))
        self.predict = score


def bent(rows: np.ndarray) -> np.ndarray:
    out: np.ndarray = rows[:, 0] * rows[:, 1] + np.abs(rows[:, 2]) - rows[:, 0] * rows[:, 3] * rows[:, 1]
    return out


def counted_out(score: Callable[[np.ndarray], np.ndarray], row: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The definition: every order of the features, every background row."""
    width = len(row)
    orders = list(itertools.permutations(range(width)))
    parts = np.zeros(width)
    for order in orders:
        mixed = background.copy()
        before = score(mixed).mean()
        for place in order:
            mixed[:, place] = row[place]
            after = score(mixed).mean()
            parts[place] += (after - before) / len(orders)
            before = after
    return np.append(parts, score(background).mean())


def test_few_features_are_explained_exactly() -> None:
    found = SampledShapley(Made(4, bent), BACKGROUND).explained(ROWS)
    for row, parts in zip(ROWS, found.parts, strict=True):
        assert parts == pytest.approx(counted_out(bent, row, BACKGROUND), abs=1e-12)
    assert not found.errors.any()
    assert np.allclose(found.parts.sum(axis=1), bent(ROWS), atol=1e-12)


def test_many_features_are_sampled_within_their_stated_error_and_add_up() -> None:
    wide, background = RNG.normal(size=(40, 12)), RNG.normal(size=(100, 12))

    def score(rows: np.ndarray) -> np.ndarray:  # eight features do nothing, so that four can be counted out
        return bent(rows[:, :4])

    found = SampledShapley(Made(12, score), background).explained(wide)
    true = np.array([counted_out(bent, row[:4], background[:, :4]) for row in wide])
    assert np.allclose(found.parts[:, -1], true[:, -1])
    assert np.allclose(found.parts.sum(axis=1), score(wide))
    assert np.array_equal(found.parts[:, 4:12], np.zeros((40, 8)))
    off = np.abs(found.parts[:, :4] - true[:, :4])
    errors = found.errors[:, :4]
    assert errors.max() < 0.5
    assert np.mean(off <= 2 * errors) > 0.9
    assert off.max() > 1e-6  # it is a sample


def test_a_linear_model_needs_no_luck() -> None:
    weights = np.arange(1.0, 13.0)
    rows, background = RNG.normal(size=(3, 12)), RNG.normal(size=(7, 12))
    parts = SampledShapley(Made(12, lambda given: given @ weights), background).explain(rows)
    assert parts[:, :-1] == pytest.approx((rows - background.mean(axis=0)) * weights, abs=1e-9)


def test_the_same_row_is_explained_the_same_whatever_is_asked_with_it() -> None:
    wide, background = RNG.normal(size=(3, 12)), RNG.normal(size=(300, 12))
    one = SampledShapley(Made(12, lambda given: np.sin(given).prod(axis=1)), background)
    assert one.explain(wide[1:2]).tolist() == one.explain(wide)[1:2].tolist()


def test_what_cannot_be_explained_is_told() -> None:
    with pytest.raises(InputError, match=r"background of Made is \(20, 3\): give rows x 4 features"):
        SampledShapley(Made(4, bent), BACKGROUND[:, :3])
    with pytest.raises(InputError, match="several classes"):
        SampledShapley(Made(4, lambda given: given[:, :2]), BACKGROUND).explain(ROWS)
    moody = Made(4, lambda given: np.random.default_rng().normal(size=len(given)))
    with pytest.raises(EaglerayError, match="same score for the same row every time"):
        SampledShapley(moody, BACKGROUND).explain(ROWS)


def test_parts_must_add_up_to_a_ten_thousandth() -> None:
    parts = np.array([[0.5, 0.25, 0.25], [2e4, 0.0, 0.0]])
    sums = np.array([1.0, 2e4])
    assert (
        adding_up(parts, sums + np.array([0.9e-4, 1.0]), model="m") is parts
    )  # a large part may be off by as much of it
    assert adding_up(parts, np.array([np.nan, 2e4]), model="m") is parts  # what is no number cannot be added up to
    for off in ([1.1e-4, 0.0], [0.0, 2.5], [0.0, -2.5]):
        with pytest.raises(EaglerayError, match="the contributions of m add up to"):
            adding_up(parts, sums + np.array(off), model="m")
    with pytest.raises(EaglerayError):
        adding_up(np.array([[np.nan, 0.0]]), np.array([1.0]), model="m")


def test_content_tells_backgrounds_apart() -> None:
    model = Made(4, bent)
    one, same, other = (SampledShapley(model, rows) for rows in (BACKGROUND, BACKGROUND.copy(), BACKGROUND + 1))
    assert one.content() == same.content() != other.content()
    assert pickle.loads(pickle.dumps(one)).explain(ROWS).tolist() == one.explain(ROWS).tolist()
