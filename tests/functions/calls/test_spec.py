"""What `@function(...)` accepts, and what it says about the rest."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.functions.calls.spec import FunctionSpec
from eagleray.runtime.errors import DefinitionError
from eagleray.runtime.resources import Resources
from eagleray.runtime.retries import Retries


def test_options_become_a_spec() -> None:
    spec = FunctionSpec("embed").changed({"cpus": 2, "gpu": 0.25, "memory": "2Gi", "retries": 5, "packages": ["x>=1"]})
    assert spec.resources == Resources(cpus=2, gpu=0.25, memory_bytes=2 << 30)
    assert (spec.retries, spec.packages, spec.timeout_s) == (Retries(5), ("x>=1",), None)


def test_a_change_keeps_the_rest() -> None:
    first = FunctionSpec("embed").changed({"cpus": 2, "timeout_s": 3, "custom": {"tpu": 1}})
    second = first.changed({"gpu": 1})
    assert second.resources == Resources(cpus=2, gpu=1, custom={"tpu": 1})
    assert (first.resources.gpu, second.timeout_s) == (0, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu": 2}, "no option 'cpu'; did you mean 'cpus'"),
        ({"cpus": -1}, "cpus=-1"),
        ({"memory": "2 gigs"}, "cannot read the size"),
        ({"retries": -1}, "retries=-1"),
        ({"retries": True}, "retries=True"),
        ({"timeout_s": 0}, "timeout_s=0"),
        ({"packages": "numpy"}, "give a list"),
        ({"name": ""}, "name is empty"),
        ({"concurrency": 0}, "concurrency=0; give a whole number from 1"),
    ],
)
def test_wrong_options_say_the_cure(options: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        FunctionSpec("embed").changed(options)
