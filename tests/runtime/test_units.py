from __future__ import annotations

from datetime import timedelta

import pytest

from eagleray.runtime.errors import DefinitionError
from eagleray.runtime.units import duration_us, size_bytes


@pytest.mark.parametrize(
    ("text", "us"),
    [("1us", 1), ("500ms", 500_000), ("90s", 90_000_000), (" 1 h ", 3_600_000_000), ("2w", 1_209_600_000_000)],
)
def test_durations(text: str, us: int) -> None:
    assert duration_us(text) == us


def test_a_timedelta_is_a_duration() -> None:
    assert duration_us(timedelta(minutes=1, microseconds=1)) == 60_000_001


@pytest.mark.parametrize("text", ["", "h", "1", "0s", "-1s", "1.5h", "1y"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(DefinitionError, match="write a number and a unit"):
        duration_us(text)


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("2Gi", 2**31), ("1.5k", 1500), ("512MiB", 2**29), (7, 7)])
def test_sizes(text: str | int, size: int) -> None:
    assert size_bytes(text) == size


def test_what_is_no_size() -> None:
    with pytest.raises(DefinitionError, match="'2Gi'"):
        size_bytes("two")
