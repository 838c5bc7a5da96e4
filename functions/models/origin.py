"""Where a model comes from: the tables it was trained on, the code that asked for it, the libraries that made it."""

from __future__ import annotations

import hashlib
import linecache
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import FrameType

from ..runs.git_state import GitState, git_state

_LIBRARIES = ("eagleray", "numpy", "polars", "flaml", "xgboost", "lightgbm", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a model was made of, as plain data.

    `pins` are a training set's: `store.get_historical_features(vector, labels, pins=...)` builds the rows again; their
    names are the feature set versions that the model's vector reads. `code_hash` is the SHA-256 of the file (or the
    notebook's cell) that asked for the training, `commit` that of the repository around it; `dirty` says that it held
    changes beside. All empty where they are not known.
    """

    pins: Mapping[str, int] = field(default_factory=dict)
    code_file: str = ""
    code_hash: str = ""
    commit: str = ""
    dirty: bool = False
    python: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {
            "pins": dict(self.pins), "code_file": self.code_file, "code_hash": self.code_hash, "commit": self.commit,
            "dirty": self.dirty, "python": self.python, "libraries": dict(self.libraries),
        }  # fmt: skip


def origin_of(
    pins: Mapping[str, int],
    *,
    libraries: Sequence[str] = _LIBRARIES,
    state_of: Callable[[str | None], GitState | None] = git_state,
) -> Origin:
    """The origin of what is being trained now, on a training set of these `pins` (none: on any other table)."""
    frame = _asking(sys._getframe(1))
    path = "" if frame is None else frame.f_code.co_filename
    source = "" if frame is None else "".join(linecache.getlines(path, frame.f_globals))
    state = state_of(path or None)
    return Origin(
        pins={str(name): int(version) for name, version in pins.items()},
        code_file=Path(path).name if source else "",
        code_hash=hashlib.sha256(source.encode()).hexdigest() if source else "",
        commit=state.commit if state else "",
        dirty=state.dirty if state else False,
        python=platform.python_version(),
        libraries={name: version for name in libraries if (version := _version(name))},
    )


def _asking(frame: FrameType | None) -> FrameType | None:
    """The first frame outside of this floor: the user's code, or a hub item."""
    floor = __name__.rsplit(".", 2)[0]
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(f"{floor}."):
        frame = frame.f_back
    return frame


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""
