"""The actor: one per endpoint, errors as themselves, back after a crash."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from eagleray.graphs.monitoring.profiler import Question
from eagleray.graphs.monitoring.tap import TapBatch
from eagleray.graphs.monitoring.tap_spec import TapSpec
from eagleray.runtime.errors import DefinitionError, InputError, ServerUnavailable
from eagleray.runtime.settings import Settings


def batch(n: int) -> TapBatch:
    at = np.arange(n)
    values = at.astype(np.float64)
    return TapBatch(("x",), [str(i) for i in at], values[:, None], values * 0.1, at * 1_000_000)


def test_the_spec_travels_and_finds_the_same_actor(ray_cluster: Settings) -> None:
    import ray

    spec = TapSpec("one-actor", ray_cluster)
    copy = pickle.loads(pickle.dumps(spec))
    assert copy == spec
    one, other = spec.profiler(), copy.profiler()
    for _ in range(20):  # more than may be under way at once
        one.receive(batch(10))
    assert one.state().received == 200
    assert other.state().received == 200
    with pytest.raises(InputError, match="these 8 bytes are no profile"):
        other.compare(b"nonsense", Question(10**9))
    # A crash, not a farewell: Ray starts the actor again, which finds the decisions on disk.
    ray.kill(ray.get_actor("profiler:one-actor", namespace="eagleray"), no_restart=False)
    state = next(state for _ in range(10_000) if (state := other.state()).received == 0)
    assert state.decisions == 200
    other.stop()
    with pytest.raises(ServerUnavailable, match="the profiler of one-actor does not answer"):
        one.state()


def test_a_name_that_is_no_folder_is_refused(settings: Settings) -> None:
    for name in ("", "..", "a/b", "-x", "x" * 101, "a\n"):
        with pytest.raises(DefinitionError, match="is no name"):
            TapSpec(name, settings)
