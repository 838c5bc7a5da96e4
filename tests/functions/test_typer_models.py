"""`eagleray models` on real models in MLflow's SQLite store, and the same verbs in Python."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eagleray import Gate, InputError, Model, ModelNotFound, ModelRegistry, PromotionRefused, Settings, cli
from eagleray.functions.models.feature_profile import FeatureProfile
from eagleray.functions.runs.run import Run
from eagleray.functions.runs.tracking import tracker
from eagleray.functions.training.learner import Fold

from .models.test_model_registry import trained

pytestmark = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning",  # MLflow's models use a loader SQLAlchemy 2.1 deprecates
    "ignore::DeprecationWarning:mlflow",
)
Shell = Callable[..., Any]


def versions(name: str, tracked: Settings, fold: Fold) -> ModelRegistry:
    """Three versions: the second has another feature and is better beyond chance, the third is as the second."""
    registry = ModelRegistry(tracked)
    first = trained(name, fold)
    first = replace(first, intervals={"roc_auc": (0.75, 0.82)}, signature=dict.fromkeys("abcd", "Float64"))
    first = replace(first, profile=dict.fromkeys("cd", FeatureProfile(2, 0, 0, 1.0, 0.0, (1.0,))) | {
        "a": FeatureProfile(3, 1, 0, 1.5, 0.5, (1.0, 1.0, 2.0)), "b": FeatureProfile(2, 2, 0, 0.0, 0.0, ()),
    })  # fmt: skip
    second = replace(
        first, features=("a", "b", "c", "e"), metrics={"roc_auc": 0.9}, intervals={"roc_auc": (0.85, 0.93)}
    )
    runs: list[tuple[Model, int]] = [(first, 1), (second, 2), (second, 3)]
    for model, seed in runs:
        run = tracker(tracked).log(Run("looked-at", params={"seed": seed, "learner": "xgboost"}, tags={"team": "risk"}))
        registry.register(model, run_id=run.id)
    return registry


@pytest.fixture
def shell(tracked: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs `eagleray models ...` in this process: exit code, and what was printed or said."""
    monkeypatch.setenv("EAGLERAY_HOME", str(tracked.home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["eagleray", "models", *words])
        with pytest.raises(SystemExit) as done:
            cli.main()
        told = capsys.readouterr()
        return int(done.value.code or 0), told.out + told.err

    return run


def test_show_tells_all_there_is(tracked: Settings, fold: Fold, shell: Shell) -> None:
    registry = versions("shown", tracked, fold)
    registry.promote("shown", version="2", alias="champion")
    code, text = shell("show", "shown@champion", "--json")
    told = json.loads(text)
    assert code == 0
    assert (told["name"], told["version"], told["aliases"]) == ("shown", "2", ["champion"])
    assert told["metrics"] == {"roc_auc": {"value": 0.9, "low": 0.85, "high": 0.93}}
    assert told["features"] == {"a": "Float64", "b": "Float64", "c": "Float64", "e": ""}
    assert told["settings"]["seed"] == "2"
    assert told["settings"]["members"] == "xgboost x 1"
    assert told["tags"] == {"team": "risk"}
    assert told["created"].startswith("20")
    code, text = shell("show", "shown/1")
    assert code == 0
    assert "  roc_auc: 0.8000 (0.7500 to 0.8200)" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["feature", "type", "rows", "nulls", "min", "median", "max", "mean"] in lines
    assert ["a", "Float64", "3", "1", "1", "1", "2", "1.5"] in lines
    assert ["b", "Float64", "2", "2", "-", "-", "-", "-"] in lines
    code, text = shell("show", "shwn")
    assert (code, text) == (1, "eagleray: no model 'shwn'; did you mean 'shown'?\n")


def test_compare_puts_measures_features_and_settings_side_by_side(tracked: Settings, fold: Fold, shell: Shell) -> None:
    versions("compared", tracked, fold)
    told = json.loads(shell("compare", "compared/1", "compared/2", "--json")[1])
    assert told["metrics"]["roc_auc"]["gain"] == pytest.approx(0.1)
    assert told["metrics"]["roc_auc"]["apart"] is True
    assert (told["features_added"], told["features_removed"]) == (["e"], ["d"])
    assert told["settings"] == {"seed": ["1", "2"]}
    same = json.loads(shell("compare", "compared/2", "compared/3", "--json")[1])
    assert same["metrics"]["roc_auc"]["apart"] is False
    text = shell("compare", "compared/1", "compared")[1]
    assert "0.9000 (0.8500 to 0.9300)" in text
    assert "+0.1 (apart)" in text
    assert "features added: e\nfeatures removed: d\nseed: 1 -> 3\n" in text


def test_promote_asks_the_gates_and_rollback_goes_back_step_by_step(
    tracked: Settings, fold: Fold, shell: Shell
) -> None:
    registry = versions("gated", tracked, fold)

    def champion() -> str:
        return registry.find("gated@champion").version

    code, text = shell("promote", "gated", "1", "--at-least", "roc_auc=0.85")
    assert code == 1
    assert text == "eagleray: gated/1 does not become champion: roc_auc is 0.8, which is less than 0.85\n"
    with pytest.raises(ModelNotFound, match="no alias 'champion'"):
        champion()
    assert shell("promote", "gated", "1", "--better", "roc_auc")[0] == 0, "there is no champion yet"
    told = json.loads(
        shell("promote", "gated", "2", "--better", "roc_auc=0.05", "--at-least", "roc_auc=0.9", "--json")[1]
    )
    assert told == {"name": "gated", "alias": "champion", "version": "2"}
    code, text = shell("promote", "gated", "3", "--better", "roc_auc")
    assert (code, "that of champion 0.9: it must be better" in text, champion()) == (1, True, "2")
    assert shell("promote", "gated", "2", "--better", "roc_auc")[0] == 0, "who is the champion stays it"
    assert shell("promote", "gated", "3")[0] == 0
    assert [shell("rollback", "gated")[1] for _ in range(2)] == [
        "models:/gated@champion is version 2\n",
        "models:/gated@champion is version 1\n",
    ]
    code, text = shell("rollback", "gated")
    assert code == 1
    assert "pointed to nothing before version 1" in text
    assert champion() == "1"
    assert shell("promote", "gated", "1", "--at-least", "roc_auc")[1] == (
        "eagleray: cannot read 'roc_auc': write METRIC=VALUE, for instance roc_auc=0.8\n"
    )


def test_rollback_passes_over_versions_that_are_gone(tracked: Settings, fold: Fold) -> None:
    registry = versions("thinned", tracked, fold)
    for version in "123":
        registry.promote("thinned", version=version, alias="champion")
    registry.promote("thinned", version="1", alias="challenger")
    from eagleray.functions.runs.mlflow_client import Connection

    Connection(tracked).client.delete_model_version("thinned", "2")
    assert registry.rollback("thinned").aliases == ("challenger", "champion")
    assert registry.find("thinned@champion").version == "1"
    with pytest.raises(ModelNotFound, match="'challenger' of model 'thinned' pointed to nothing before"):
        registry.rollback("thinned", alias="challenger")


def test_gates_in_python(tracked: Settings, fold: Fold) -> None:
    registry = versions("in-python", tracked, fold)
    registry.promote("in-python", version="2", alias="champion")
    better = Gate("roc_auc", better_than="champion", by=0.01)
    with pytest.raises(
        PromotionRefused, match=r"in-python/1 does not become challenger: roc_auc is 0\.8, that of champion"
    ):
        registry.promote("in-python", version="1", alias="challenger", gates=[better])
    assert registry.promote("in-python", version="2", alias="challenger", gates=[better]).version == "2"


def test_looking_makes_no_database(shell: Shell, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAGLERAY_HOME", str(tmp_path / "home"))
    code, text = shell("rollback", "fraud")
    assert (code, text.startswith("eagleray: no model 'fraud'; none is registered yet")) == (1, True)
    assert not (tmp_path / "home").exists()


def test_a_model_of_a_learner_that_is_not_here_is_shown_and_promoted(
    tracked: Settings, fold: Fold, shell: Shell
) -> None:
    registry = ModelRegistry(tracked)
    model = trained("foreign", fold)
    foreign = replace(model, members=(replace(model.members[0], learner="mine", suffix="bin"),))
    registry.register(foreign)
    code, text = shell("show", "foreign")
    assert (code, "  members: mine x 1" in text) == (0, True)
    assert shell("promote", "foreign", "1", "--at-least", "roc_auc=0.5")[0] == 0
    looked = registry.show("foreign@champion").model
    assert looked is not None
    with pytest.raises(InputError, match="only looked at"):
        looked.predict(fold.x[:1])
