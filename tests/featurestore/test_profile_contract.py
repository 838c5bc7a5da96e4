"""What every Profile must do; run on the exact fake and on whylogs' sketches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from eagleray.featurestore.quality.exact_profile import ExactProfile
from eagleray.featurestore.quality.profile import Floats, Profile, Span, histogram
from eagleray.runtime.errors import FeatureNotFound, InputError


@dataclass(frozen=True)
class Kind:
    """An implementation, and how far its ranks and its distinct counts may be off."""

    name: str
    rank_tolerance: float
    distinct_tolerance: float

    @property
    def cls(self) -> Any:
        if self.name == "whylogs":
            from eagleray.featurestore.quality.whylogs_profile import WhylogsProfile

            return WhylogsProfile
        return ExactProfile


@pytest.fixture(params=[Kind("exact", 0.0, 0.0), Kind("whylogs", 0.006, 0.05)], ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


class TestProfileContract:
    @pytest.fixture(autouse=True)
    def choose(self, kind: Kind) -> None:
        self.kind = kind.cls
        self.rank_tolerance, self.distinct_tolerance = kind.rank_tolerance, kind.distinct_tolerance

    def make(self, columns: dict[str, Floats], *, span: Span | None = None) -> Profile:
        profile: Profile = self.kind(span=span)
        profile.update(columns)
        return profile

    @pytest.fixture
    def columns(self) -> dict[str, Floats]:
        rng = np.random.default_rng(1)
        amount = rng.lognormal(3, 1, 20_000)
        amount[::10] = np.nan
        return {"amount": amount, "count": rng.poisson(2, 20_000).astype(float)}

    def test_summary(self, columns: dict[str, Floats]) -> None:
        profile = self.make(columns)
        amount = columns["amount"][~np.isnan(columns["amount"])]
        summary = profile.summary("amount")
        assert (summary.rows, summary.nulls, summary.infinite, summary.values) == (20_000, 2_000, 0, 18_000)
        assert summary.missing_share == pytest.approx(0.1)
        assert summary.minimum == amount.min()
        assert summary.maximum == amount.max()
        assert summary.mean == pytest.approx(amount.mean())
        assert summary.stddev == pytest.approx(amount.std(ddof=1))
        assert summary.distinct == pytest.approx(18_000, rel=self.distinct_tolerance)
        assert profile.names == ("amount", "count")
        assert profile.rows == 20_000

    def test_ranks(self, columns: dict[str, Floats]) -> None:
        profile = self.make(columns)
        assert profile.rank_error <= self.rank_tolerance
        for name, column in columns.items():
            values = np.sort(column[~np.isnan(column)])
            points = np.quantile(values, [0.0, 0.01, 0.5, 0.9, 1.0])
            exact = np.searchsorted(values, points, side="right") / values.size
            np.testing.assert_allclose(profile.cdf(name, points), exact, atol=self.rank_tolerance + 1e-12)
            got = profile.quantiles(name, np.array([0.0, 0.25, 0.75, 1.0]))
            below = np.searchsorted(values, got, side="left") / values.size
            upto = np.searchsorted(values, got, side="right") / values.size
            slack = self.rank_tolerance + 1 / values.size
            assert np.all(below - slack <= [0.0, 0.25, 0.75, 1.0])
            assert np.all(upto + slack >= [0.0, 0.25, 0.75, 1.0])

    def test_cdf_counts_the_point_itself_in_any_order(self) -> None:
        profile = self.make({"x": np.array([0.0, 0.0, 1.0, 5.0])})
        got = profile.cdf("x", np.array([5.0, 0.0, -1.0, 0.0, 4.9, np.inf, -np.inf]))
        np.testing.assert_array_equal(got, [1.0, 0.5, 0.0, 0.5, 0.75, 1.0, 0.0])

    def test_histogram_counts_every_value_once(self, columns: dict[str, Floats]) -> None:
        profile = self.make(columns)
        edges = np.array([0.0, 1.0, 2.0, 4.0])
        counts = histogram(profile, "count", edges)
        values = columns["count"]
        exact = np.histogram(values, [-np.inf, 0.5, 1.5, 2.5, 4.5, np.inf])[0]
        assert counts.sum() == pytest.approx(20_000)
        np.testing.assert_allclose(counts, exact, atol=20_000 * 2 * self.rank_tolerance + 1e-6)
        with pytest.raises(InputError, match="sort them"):
            histogram(profile, "count", np.array([1.0, 1.0]))

    def test_merge_is_as_if_seen_together(self, columns: dict[str, Floats]) -> None:
        whole = self.make(columns)
        head = self.make({k: v[:5_000] for k, v in columns.items()}, span=Span(0, 10))
        tail = self.make({k: v[5_000:] for k, v in columns.items()}, span=Span(10, 30))
        before = (head.summary("amount"), head.quantiles("amount", np.array([0.5])))
        merged = head.merge(tail)
        assert merged.span == Span(0, 30)
        assert (head.summary("amount"), head.quantiles("amount", np.array([0.5]))) == before
        for name in columns:
            one, other = merged.summary(name), whole.summary(name)
            assert (one.rows, one.nulls, one.minimum, one.maximum) == (
                other.rows,
                other.nulls,
                other.minimum,
                other.maximum,
            )
            assert one.mean == pytest.approx(other.mean)
            assert one.stddev == pytest.approx(other.stddev)
            assert one.distinct == pytest.approx(other.distinct, rel=max(self.distinct_tolerance, 1e-9))
            points = whole.quantiles(name, np.linspace(0.1, 0.9, 9))
            difference = np.abs(merged.cdf(name, points) - whole.cdf(name, points)).max()
            assert difference <= 2 * self.rank_tolerance

    def test_merge_with_other_columns_and_with_nothing(self) -> None:
        one, other = self.make({"a": np.array([1.0])}), self.make({"b": np.array([2.0, 3.0])})
        merged = one.merge(other).merge(self.make({}))
        assert merged.names == ("a", "b")
        assert (merged.summary("a").rows, merged.summary("b").rows, merged.rows) == (1, 2, 2)
        merged.update({"a": np.array([9.0])})
        assert one.summary("a").rows == 1
        assert merged.summary("a").maximum == 9.0

    def test_round_trip(self, columns: dict[str, Floats]) -> None:
        profile = self.make({"z": columns["amount"], "a": columns["count"]}, span=Span(5, 7))
        content = profile.to_bytes()
        back = self.kind.from_bytes(content)
        assert back.names == ("z", "a")
        assert back.span == Span(5, 7)
        assert back.summary("z") == profile.summary("z")
        points = np.linspace(1, 100, 50)
        np.testing.assert_array_equal(back.cdf("z", points), profile.cdf("z", points))
        back.update({"z": np.array([1e6])})
        assert back.summary("z").maximum == 1e6
        assert back.merge(profile).summary("a").rows == 40_000

    def test_an_empty_profile_round_trips(self) -> None:
        back = self.kind.from_bytes(self.make({}).to_bytes())
        assert back.names == ()
        assert back.rows == 0
        assert back.span is None

    @pytest.mark.parametrize(
        "content", [b"", b"WHY1", b"nonsense", b"WHY1\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
    )
    def test_foreign_bytes_are_refused(self, content: bytes) -> None:
        with pytest.raises(InputError, match=f"these {len(content)} bytes are no profile"):
            self.kind.from_bytes(content)

    def test_cut_bytes_are_refused(self, columns: dict[str, Floats]) -> None:
        content = self.make(columns).to_bytes()
        for share in (0.02, 0.3, 0.7, 0.999):
            with pytest.raises(InputError, match="are no profile"):
                self.kind.from_bytes(content[: int(len(content) * share)])

    def test_nulls_and_infinities_enter_no_figure(self) -> None:
        profile = self.make({"x": np.array([1.0, np.nan, np.inf, 3.0, -np.inf]), "void": np.full(5, np.nan)})
        summary = profile.summary("x")
        assert (summary.nulls, summary.infinite, summary.values) == (1, 2, 2)
        assert (summary.minimum, summary.maximum, summary.mean) == (1.0, 3.0, 2.0)
        void = profile.summary("void")
        assert (void.rows, void.values, void.missing_share) == (5, 0, 1.0)
        assert np.isnan([void.minimum, void.maximum, void.mean, void.stddev, void.distinct]).all()
        assert np.isnan(profile.cdf("void", np.array([0.0]))).all()
        assert np.isnan(profile.quantiles("void", np.array([0.5]))).all()
        np.testing.assert_array_equal(histogram(profile, "void", np.array([0.0])), [0.0, 0.0])

    def test_one_value_and_huge_values(self) -> None:
        profile = self.make({"x": np.array([7.0]), "huge": np.array([1e300])})
        profile.update({"x": np.empty(0), "huge": np.empty(0)})
        profile.update({"huge": np.array([-1e300, 1e300])})
        assert profile.summary("x").stddev == 0.0
        assert profile.summary("x").mean == 7.0
        assert profile.summary("huge").maximum == 1e300

    def test_views_of_a_matrix(self) -> None:
        rows = np.arange(30.0).reshape(10, 3)
        profile = self.make({name: rows[:, i] for i, name in enumerate("abc")})
        assert profile.summary("b").mean == rows[:, 1].mean()

    def test_mistakes_are_named(self) -> None:
        profile = self.make({"amount": np.array([1.0])})
        with pytest.raises(FeatureNotFound, match="did you mean 'amount'"):
            profile.summary("amonut")
        with pytest.raises(InputError, match="differ in length"):
            profile.update({"amount": np.array([1.0]), "b": np.array([1.0, 2.0])})
