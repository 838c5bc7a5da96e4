import pytest

from eagleray.autoscaling.scale import Scale
from eagleray.runtime.errors import DefinitionError


def test_the_window_follows_the_delay_up():
    assert Scale(up_delay_s=0).window_s == 1
    assert Scale(up_delay_s=5).window_s == 5
    assert Scale(up_delay_s=60).window_s == 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"min": 2, "max": 1},
        {"min": -1},
        {"max": 0, "min": 0},
        {"target": 0},
        {"up_delay_s": -1},
        {"idle_delay_s": float("inf")},
    ],
)
def test_bounds_that_hold_nothing_are_refused(wrong):
    with pytest.raises(DefinitionError, match="give"):
        Scale(**wrong)
