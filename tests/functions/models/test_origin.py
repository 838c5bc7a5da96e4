"""Where a model comes from."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from eagleray.functions.models.origin import Origin, origin_of
from eagleray.functions.runs.git_state import GitState


def test_the_origin_names_the_asking_file_the_pins_and_the_libraries() -> None:
    asked: list[str | None] = []

    def state_of(file: str | None) -> GitState:
        asked.append(file)
        return GitState("c0ffee", dirty=True)

    found = origin_of({"cards:v2-abc": 7}, state_of=state_of)
    assert found.pins == {"cards:v2-abc": 7}
    assert (found.code_file, asked) == ("test_origin.py", [__file__])
    assert found.code_hash == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert (found.commit, found.dirty) == ("c0ffee", True)
    assert found.libraries["xgboost"] == metadata.version("xgboost")
    assert Origin(**found.to_dict()) == found  # type: ignore[arg-type]


def test_code_without_a_file_is_not_known() -> None:
    namespace = {"origin_of": origin_of, "__name__": "typed"}
    made = eval("origin_of({'a:v1': 1}, libraries=['no-such-library'], state_of=lambda f: None)", namespace)
    assert made == Origin(pins={"a:v1": 1}, python=made.python)
