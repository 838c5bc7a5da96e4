"""A profile kept as quantiles, against one that keeps every value."""

from __future__ import annotations

import numpy as np
import pytest

from eagleray.featurestore.quality.drift import DriftRule, distances, verdicts
from eagleray.featurestore.quality.exact_profile import ExactProfile
from eagleray.featurestore.quality.quantile_profile import QuantileProfile
from eagleray.featurestore.quality.reference import Reference
from eagleray.functions.models.feature_profile import profile_of
from eagleray.runtime.errors import FeatureNotFound, InputError

ROWS = 5_000


def columns(seed: int, *, shift: float = 0.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sparse = np.where(rng.random(ROWS) < 0.8, 0.0, rng.gamma(2, 3, ROWS))
    gaps = np.where(rng.random(ROWS) < 0.3, np.nan, rng.normal(size=ROWS))
    return {
        "amount": rng.lognormal(3, 1, ROWS) * (1 + shift), "sparse": sparse + shift,
        "flag": (rng.random(ROWS) < 0.1) * 1.0,
        "gaps": gaps, "constant": np.full(ROWS, 2.0), "empty": np.full(ROWS, np.nan),
    }  # fmt: skip


def kept(found: dict[str, np.ndarray]) -> QuantileProfile:
    profile = profile_of(np.column_stack(list(found.values())), list(found))
    return QuantileProfile({name: one.to_dict() for name, one in profile.items()})


def exact(found: dict[str, np.ndarray]) -> ExactProfile:
    made = ExactProfile()
    made.update(found)
    return made


@pytest.mark.parametrize("name", ["amount", "sparse", "flag", "gaps", "constant", "empty"])
def test_shares_are_those_of_all_values_within_a_step(name: str) -> None:
    found = columns(1)
    one, other = kept(found), exact(found)
    values = found[name][np.isfinite(found[name])]
    points = np.union1d(values, np.nextafter(values, -np.inf)) if values.size else np.array([0.0])
    points = np.concatenate([[-1e9], points, [1e9]])
    np.testing.assert_allclose(one.cdf(name, points), other.cdf(name, points), atol=one.rank_error + 1 / ROWS)
    a, b = one.summary(name), other.summary(name)
    assert (a.rows, a.nulls, a.values) == (b.rows, b.nulls, b.values)
    np.testing.assert_allclose([a.minimum, a.maximum, a.mean], [b.minimum, b.maximum, b.mean])


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_drift_is_found_as_with_all_rows(shift: float) -> None:
    reference, current = columns(1), exact(columns(2, shift=shift))
    content = kept(reference).to_bytes()
    found = verdicts(Reference.from_bytes(content).distances(current), DriftRule())
    wanted = verdicts(distances(exact(reference), current), DriftRule())
    assert [(v.feature, v.drifted, v.reason) for v in found] == [(v.feature, v.drifted, v.reason) for v in wanted]
    assert [v.feature for v in found if v.drifted] == (["amount", "sparse"] if shift else [])


def test_what_it_cannot_do_is_said() -> None:
    profile = kept(columns(1))
    for verb in (lambda: profile.update({}), lambda: profile.merge(profile), lambda: QuantileProfile.from_bytes(b"{]")):
        with pytest.raises(InputError):
            verb()
    with pytest.raises(FeatureNotFound, match="did you mean 'amount'"):
        profile.summary("amont")
