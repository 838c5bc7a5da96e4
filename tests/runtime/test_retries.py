"""When a call runs again, and after how long."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from eagleray.runtime.errors import DefinitionError
from eagleray.runtime.retries import Retries


def test_waits_grow_to_a_limit() -> None:
    retries = Retries(5, backoff_s=1, factor=2, max_backoff_s=5)
    assert [retries.delay_s(attempt, luck=0) for attempt in range(5)] == [1, 2, 4, 5, 5]
    assert retries.delay_s(1, luck=1) == 1
    assert all(1 <= retries.delay_s(1) <= 2 for _ in range(100))
    assert retries.delay_s(10_000, luck=0) == 5


def test_one_type_of_error_needs_no_list() -> None:
    retries = Retries(on=KeyError)  # type: ignore[arg-type] # a user may write it so
    assert retries.on == (KeyError,)
    assert pickle.loads(pickle.dumps(retries)) == retries


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"attempts": -1}, "retries=-1; give a whole number"),
        ({"attempts": 1.5}, "retries=1.5"),
        ({"on": ("KeyError",)}, "give types of errors"),
        ({"on": (KeyboardInterrupt,)}, "give types of errors"),
        ({"backoff_s": -1}, r"Retries\(backoff_s=-1\)"),
        ({"factor": float("inf")}, "give a number, not negative"),
    ],
)
def test_what_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        Retries(**wrong)
