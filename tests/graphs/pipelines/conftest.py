"""What the tests of pipelines share: one tracking home, for creating MLflow's database takes seconds."""

from __future__ import annotations

import warnings

import pytest

from eagleray.runtime.settings import Settings


@pytest.fixture(scope="session")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with an MLflow database of the tests' own."""
    from eagleray.functions.runs.tracking import tracker

    settings = Settings(home=tmp_path_factory.mktemp("tracked-pipelines"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MLflow's own imports emit
        tracker(settings).warm_up()
    return settings
