"""What only whylogs can get wrong; the contract stands in test_profile_contract.py."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from eagleray.featurestore.quality.open_profile import load_profile, new_profile


def test_it_is_the_default() -> None:
    profile = new_profile()
    profile.update({"x": np.arange(10.0)})
    assert load_profile(profile.to_bytes()).summary("x").mean == 4.5


def test_whylogs_itself_can_read_it() -> None:
    profile = new_profile()
    profile.update({"x": np.append(np.arange(10.0), np.nan)})
    from whylogs.core.view.dataset_profile_view import DatasetProfileView  # new_profile readied NumPy for it

    view = DatasetProfileView.deserialize(profile.to_bytes())
    told = view.get_column("x").to_summary_dict()
    assert told["counts/n"] == 11
    assert told["counts/null"] == 1
    assert told["distribution/mean"] == 4.5


def test_the_size_is_bounded() -> None:
    profile = new_profile()
    rng = np.random.default_rng(0)
    for _ in range(20):
        profile.update({"x": rng.normal(size=20_000)})
    assert len(profile.to_bytes()) < 32_000


def test_importing_it_sends_nothing() -> None:
    """A socket opened by the import, in a process of its own with a clean environment, fails the test."""
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a socket was opened')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "import eagleray.featurestore.quality.whylogs_profile\n"
        "from whylogs.api.usage_stats import _TELEMETRY_DISABLED\n"
        "assert _TELEMETRY_DISABLED\n"
    )
    clean = {k: v for k, v in os.environ.items() if k not in {"WHYLOGS_NO_ANALYTICS", "DO_NOT_TRACK"}}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
