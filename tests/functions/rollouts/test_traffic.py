"""Shares of the traffic: exact, and refused when they are none."""

from __future__ import annotations

from itertools import pairwise

import pytest

from eagleray.functions.rollouts.traffic import Share, Traffic
from eagleray.runtime.errors import DefinitionError


@pytest.mark.parametrize(("percent", "of_1000"), [(0, 0), (10, 100), (33.3, 333), (0.5, 5), (100, 1000)])
def test_a_share_is_exact_and_evenly_spread(percent: float, of_1000: int) -> None:
    share = Share(percent)
    taken = [share.take() for _ in range(1000)]
    assert abs(sum(taken) - of_1000) <= 1
    if percent:
        places = [place for place, one in enumerate(taken) if one]
        gaps = [later - earlier for earlier, later in pairwise(places)]
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_it_travels_as_plain_types() -> None:
    traffic = Traffic("http://127.0.0.1:1/f--canary", 10.0)
    assert Traffic.of(traffic.as_config()) == traffic
    assert Traffic.of(None) == Traffic()
    assert [t.is_split for t in (traffic, Traffic(), Traffic("u", 0.0), Traffic(shadow_url="u"))] == [1, 0, 0, 1]


@pytest.mark.parametrize("percent", [-1, 101, float("nan")])
def test_what_is_no_share_is_refused(percent: float) -> None:
    with pytest.raises(DefinitionError, match="give a share from 0 to 100"):
        Traffic("u", percent)
