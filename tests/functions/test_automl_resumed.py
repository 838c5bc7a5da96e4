"""A driver that is killed in the middle of a search, and the same call after it; two runs that come to the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from eagleray.functions.automl import AutoMLOptions, fit
from eagleray.runtime.errors import InputError
from eagleray.runtime.settings import Settings

from .. import forked

# Its own death is the only thing that differs between the calls.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
import polars as pl
from eagleray import Settings, automl

home, table, dies_after = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
seen = []

def note(trial):
    seen.append(trial.number)
    if len(seen) == dies_after:
        os.kill(os.getpid(), signal.SIGKILL)

options = automl.AutoMLOptions(
    ignore=("who",), track=False, on_trial=note, settings=Settings(home=home), resume="clicks", trials=9,
)
clicks = pl.read_parquet(table)
run = automl.fit(clicks, label="clicked", metric="roc_auc", time_column="at", budget_s=40.0, options=options)
print(json.dumps({"seen": seen, "trials": sorted(run.leaderboard["trial"]), "seconds": run.seconds}))
"""


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.run("-c", PROGRAM, *arguments, environment=os.environ, timeout_s=90.0)


def test_a_killed_driver_costs_only_the_trials_under_way(
    lasting_home: Path, clicks: pl.DataFrame, tmp_path: Path
) -> None:
    table, journal = tmp_path / "clicks.parquet", lasting_home / "automl" / "clicks.journal"
    clicks.write_parquet(table)
    died = program(str(lasting_home), str(table), "4")
    assert died.returncode == -signal.SIGKILL
    assert journal.exists()
    options = AutoMLOptions(settings=Settings(lasting_home), resume="clicks", ignore=("who",), trials=9, track=False)
    with pytest.raises(InputError, match="search 'clicks' was begun with another table"):
        fit(clicks.head(1000), label="clicked", metric="roc_auc", time_column="at", budget_s=40.0, options=options)
    with pytest.raises(InputError, match=r"begun with another budget_s \(then 40.0, now 41.0\)"):
        fit(clicks, label="clicked", metric="roc_auc", time_column="at", budget_s=41.0, options=options)

    done = program(str(lasting_home), str(table), "-1")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["trials"] == list(range(9))
    assert len(found["seen"]) == 5  # four were not made again
    assert not journal.exists()


@pytest.fixture
def fixed() -> AutoMLOptions:
    return AutoMLOptions(ignore=("who", "at"), track=False, deterministic=True, trials=8)


def test_two_deterministic_runs_come_to_the_same_to_the_byte(
    ray_cluster: Settings, clicks: pl.DataFrame, fixed: AutoMLOptions
) -> None:
    small = clicks.head(600)  # nested by default
    options = replace(fixed, settings=ray_cluster)
    runs = [fit(small, label="clicked", budget_s=1.0, options=options) for _ in range(2)]
    assert runs[0].leaderboard.equals(runs[1].leaderboard)
    assert runs[0].leaderboard.height == 8
    assert runs[0].evaluation.source == "nested"
    assert runs[0].metrics == runs[1].metrics
    data = [[(one.booster.data, one.weight) for one in run.model.members] for run in runs]
    assert data[0] == data[1]
    other = fit(small, label="clicked", budget_s=1.0, options=replace(options, seed=1))
    assert not other.leaderboard.equals(runs[0].leaderboard)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"trials": None}, "say options.trials"),
        ({"workers": 2}, "leave options.workers out"),
        ({"trials": 0}, "options.trials is 0"),
        ({"resume": "../up"}, "options.resume is '../up'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    clicks: pl.DataFrame, fixed: AutoMLOptions, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        fit(clicks, label="clicked", options=replace(fixed, **change))
