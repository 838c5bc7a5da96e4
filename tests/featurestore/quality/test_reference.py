"""The reference knows what varies by itself, and travels as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from eagleray.featurestore.quality.drift import DriftRule, Usual, distances, verdicts
from eagleray.featurestore.quality.exact_profile import ExactProfile
from eagleray.featurestore.quality.profile import Floats, Span
from eagleray.featurestore.quality.reference import Reference, make_reference
from eagleray.runtime.errors import InputError

HOURS = 24 * 7


def week(rng: np.random.Generator, hours: int = HOURS) -> dict[str, Floats]:
    """40 rows an hour: the weekend, the hour, an amount, and an average that wanders slowly."""
    hour = np.repeat(np.arange(hours), 40)
    return {
        "weekend": (hour // 24 % 7 >= 5) * 1.0,
        "hour": hour % 24 * 1.0,
        "amount": rng.gamma(2, 30, hour.size),
        "slow": np.where(rng.random(hour.size) < 0.3 * (hour // 24 % 2), np.nan, hour // 24 + rng.random(hour.size)),
    }


def drifted(reference: Reference, columns: dict[str, Floats]) -> list[str]:
    profile = ExactProfile()
    profile.update(columns)
    return [v.feature for v in verdicts(reference.distances(profile), DriftRule()) if v.drifted]


def stretch(columns: dict[str, Floats], start: int, rows: int = 240) -> dict[str, Floats]:
    return {name: column[start : start + rows] for name, column in columns.items()}


def test_what_the_calendar_does_is_no_drift() -> None:
    reference = make_reference(week(np.random.default_rng(0)), new=ExactProfile)
    later = week(np.random.default_rng(1))
    for start in range(0, HOURS * 40 - 240, 480):
        assert drifted(reference, stretch(later, start)) == []
        shifted = stretch(later, start)
        shifted["amount"] = shifted["amount"] * 2
        assert drifted(reference, shifted) == ["amount"]
    # Without that knowledge the weekend alone would raise an alarm every day.
    assert "weekend" in drifted(Reference(reference.profile), stretch(later, 0))


def test_the_usual_is_the_largest_distance_of_a_stretch() -> None:
    columns = week(np.random.default_rng(0))
    reference = make_reference(columns, new=ExactProfile)
    ks = []
    for start in range(0, 6_600, 200):
        block = ExactProfile()
        block.update(stretch(columns, start, 200))
        ks.append({d.feature: d.ks for d in distances(reference.profile, block)})
    for name in columns:
        assert reference.usual[name].ks == max(one[name] for one in ks)
    assert 0 < reference.usual["slow"].missing < 0.3
    assert reference.usual["amount"].missing == 0


def test_little_data_has_no_usual() -> None:
    small = make_reference({"x": np.arange(500.0)}, new=ExactProfile)
    assert small.usual == {}
    assert small.profile.rows == 500
    void = make_reference({"x": np.full(1_000, np.nan)}, new=ExactProfile)
    assert void.usual == {"x": Usual()}


def test_it_travels_as_bytes() -> None:
    made = make_reference(week(np.random.default_rng(0)))
    back = Reference.from_bytes(made.to_bytes())
    assert back.usual == made.usual
    assert back.profile.summary("amount") == made.profile.summary("amount")
    plain = Reference.from_bytes(made.profile.to_bytes())
    assert plain.usual == {}
    exact = ExactProfile(span=Span(0, 1))
    assert Reference.from_bytes(exact.to_bytes(), load=ExactProfile.from_bytes).profile.span == Span(0, 1)


def test_damage_is_told() -> None:
    content = Reference(ExactProfile(), {"x": Usual(ks=0.3)}).to_bytes()
    with pytest.raises(InputError, match="damaged: make it anew"):
        Reference.from_bytes(content.replace(b'"ks"', b'"k"'), load=ExactProfile.from_bytes)
    with pytest.raises(InputError, match="damaged: make it anew"):
        Reference.from_bytes(content[:40], load=ExactProfile.from_bytes)
    with pytest.raises(InputError, match="are no profile"):
        Reference.from_bytes(content[:-9], load=ExactProfile.from_bytes)
