"""What a terminal and a notebook show of a search under way."""

from __future__ import annotations

import io
import os
import pty
import re
from collections.abc import Iterator
from typing import Any, Literal, TextIO

import numpy as np
import pytest

from eagleray.functions.evaluation.metric import metric
from eagleray.functions.fitting.notebook_trials import Page, shown
from eagleray.functions.fitting.watched import watched
from eagleray.functions.training.budget import Budget
from eagleray.functions.training.learner import Fold
from eagleray.functions.training.search import Search, Trial
from eagleray.functions.training.standing import standing
from eagleray.functions.training.trainer import LocalPool
from eagleray.functions.training.tune import Tuning

NAN = float("nan")


@pytest.fixture
def tuning(fold: Fold) -> Tuning:
    """A search half way: nine trials, the second the best, the last one failed."""
    search = Search({"xgboost": {}}, starts={"xgboost": ()}, metric=metric("average_precision"), seed=0)
    for number in range(9):
        value, error = (NAN, "MemoryError: <none> is left") if number == 8 else (0.9 - 0.1 * abs(number - 1), "")
        status: Literal["done", "failed"] = "failed" if error else "done"
        search.trials.append(Trial(number, "xgboost", {}, status, value, 40, 1.25, 1.0, error))
    return Tuning(
        pool=LocalPool(fold), search=search, budget=Budget(60.0, 1.0, 1.0), metric=metric("average_precision"),
        labels=np.zeros(4, dtype=np.float32), clock=lambda: 15.0,
    )  # fmt: skip


def test_the_line_tells_time_trials_and_the_best(tuning: Tuning) -> None:
    now = standing(tuning, ends_s=60.0)
    assert now.share == 0.25
    said = "45 s left, 9 trials (1 failed), 0 running, best average_precision 0.9000 (xgboost)"
    assert now.line == f"search: {said}"
    assert now.rows()[0] == ("8", "xgboost", "-", "40", "1.2", "MemoryError: <none> is left")
    assert [row[0] for row in now.rows()] == ["8", "7", "6", "5", "4", "3"]


def test_a_search_that_a_count_ends_tells_the_trials_that_are_left(tuning: Tuning) -> None:
    tuning.budget = Budget(60.0, 1.0, 1.0, trials=12).timeless((10, 2))
    now = standing(tuning, ends_s=float("inf"))
    assert now.left == "3 trials left"
    assert now.share == 0.75


def test_before_the_first_trial_there_is_no_best(tuning: Tuning) -> None:
    tuning.search.trials.clear()
    now = standing(tuning, ends_s=60.0)
    assert now.line == "search: 45 s left, 0 trials, 0 running"
    assert now.rows() == []


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, int]]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        yield stream, ours
    os.close(ours)


def test_a_terminal_shows_the_table_and_keeps_the_line(
    tuning: Tuning, terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream, ours = terminal
    with watched(tuning, ends_s=60.0, wanted=True, stream=stream):
        pass
    drawn = drawn_on(stream, ours)
    assert any(line.split()[:2] == ["trial", "learner"] for line in plain(drawn).splitlines())
    assert "MemoryError: <none> is left" in drawn
    assert "average_precision 0.9000" in drawn.rstrip().splitlines()[-1]


def test_what_is_no_terminal_or_not_wanted_stays_quiet(tuning: Tuning, terminal: tuple[TextIO, int]) -> None:
    out = io.StringIO()
    with watched(tuning, ends_s=60.0, wanted=True, stream=out):
        pass
    assert out.getvalue() == ""
    stream, ours = terminal
    with watched(tuning, ends_s=60.0, wanted=False, stream=stream):
        pass
    os.set_blocking(ours, False)
    with pytest.raises(BlockingIOError):
        os.read(ours, 1)


def drawn_on(stream: TextIO, ours: int) -> str:
    """All that went to the terminal, which hands it on in pieces."""
    stream.write("\0")
    stream.flush()
    drawn = b""
    while b"\0" not in drawn:
        drawn += os.read(ours, 100_000)
    return drawn.decode().rstrip("\0")


def plain(drawn: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)


class Place:
    """A cell's output as a list of what it showed."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def __call__(self, page: Page, *, display_id: bool) -> Place:
        assert display_id
        self.update(page)
        return self

    def update(self, page: Any) -> None:
        self.pages.append(page._repr_html_())


def test_a_notebook_shows_the_same_in_one_place(tuning: Tuning) -> None:
    place = Place()
    with shown(lambda: standing(tuning, ends_s=60.0), place):
        first = len(place.pages)
        tuning.phase = "final fit"
    assert first >= 1
    assert place.pages[0].startswith("<div>search: 45 s left")
    assert "value='0.250'" in place.pages[0]
    assert "MemoryError: &lt;none&gt; is left" in place.pages[0]
    assert place.pages[-1].startswith("<div>final fit: ")
    assert repr(Page(standing(tuning, ends_s=60.0))).splitlines()[1].startswith("8  xgboost")
