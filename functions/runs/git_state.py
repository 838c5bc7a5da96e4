"""The git commit that a function's file belongs to, and whether its folder holds changes beside it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class GitState:
    """`dirty`: files that git holds were changed and not committed."""

    commit: str
    dirty: bool


def git_state(file: str | None) -> GitState | None:
    """Of the repository around `file` (None: the working folder); None where there is none, or no git."""
    folder = Path(file).parent if file and Path(file).exists() else Path.cwd()
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return GitState(commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no")))


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
