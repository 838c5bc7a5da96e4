"""Temporary folders: gone when their block ends, and after a kill when the next begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eagleray.runtime.scratch import scratch

OWNER = """
import sys
from eagleray.runtime.scratch import scratch
with scratch("test") as folder:
    (folder / "rows").write_bytes(b"0" * 1000)
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("problem", [None, KeyboardInterrupt])
def test_a_folder_is_gone_when_its_block_ends(problem: type[BaseException] | None, temporary: Path) -> None:
    try:
        with scratch("test") as folder:
            (folder / "rows").write_bytes(b"1")
            assert folder.parent == temporary
            if problem is not None:
                raise problem
    except KeyboardInterrupt:
        pass
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_owners_folder_is_gone_when_the_next_begins_and_a_living_ones_stays(
    number: signal.Signals, temporary: Path
) -> None:
    owners = [
        subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        folders = []
        for owner in owners:
            assert owner.stdout is not None
            folders.append(Path(owner.stdout.readline().strip()))
        owners[0].send_signal(number)
        owners[0].wait()
        other = temporary / "eagleray-other-1"
        other.mkdir()
        assert all(folder.is_dir() for folder in folders)
        with scratch("test") as folder:
            assert set(temporary.iterdir()) == {folders[1], folder, other}
            assert (folders[1] / "rows").stat().st_size == 1000
    finally:
        for owner in owners:
            owner.communicate("")
    assert set(temporary.iterdir()) == {other}


def test_a_link_is_left_alone(temporary: Path) -> None:
    kept = temporary / "kept"
    kept.mkdir()
    (kept / "rows").write_bytes(b"1")
    os.symlink(kept, temporary / "eagleray-test-link")
    with scratch("test"):
        pass
    assert (kept / "rows").exists()
