"""One profile for each tumbling window of time, in memory while it is busy, on disk for good."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...featurestore.quality.open_profile import load_profile, new_profile
from ...featurestore.quality.profile import Profile, Span
from ...runtime.errors import DefinitionError

SUFFIX = ".profile"
# Windows in memory, each at most some 30 kB a column; and on disk (a week of minutes).
KEEP_OPEN = 64
KEEP_FILES = 10_080


class NewProfile(Protocol):
    """Makes an empty profile."""

    def __call__(self, *, span: Span | None = None) -> Profile: ...


class ProfileWindows:
    """Windows of `window_us` microseconds, aligned to the epoch; a row belongs to the window of its time.

    The least recently used windows leave memory, the oldest files the disk. `add` and `save` raise `OSError`
    when the disk refuses; nothing half-written is left.
    """

    def __init__(
        self,
        folder: Path,
        *,
        window_us: int,
        keep_open: int = KEEP_OPEN,
        keep_files: int = KEEP_FILES,
        new: NewProfile = new_profile,
        load: Callable[[bytes], Profile] = load_profile,
    ) -> None:
        if window_us < 1:
            raise DefinitionError(f"a window of {window_us} us: give a duration like '1m'")
        # Windows of another length keep to themselves.
        self._folder = folder / str(window_us)
        self._window_us = window_us
        self._keep_open, self._keep_files = keep_open, keep_files
        self._new, self._load = new, load
        self._open: dict[int, Profile] = {}
        self._unsaved: set[int] = set()
        self._saved = {int(path.stem) for path in self._folder.glob(f"*{SUFFIX}") if path.stem.lstrip("-").isdigit()}

    def add(self, columns: Mapping[str, NDArray[np.float64]], ts_us: NDArray[np.int64]) -> None:
        """Adds rows, given as columns of one length, each to the window of its time."""
        starts = ts_us // self._window_us * self._window_us
        for start in np.unique(starts):
            inside = starts == start
            profile = self._opened(int(start))
            profile.update({name: column[inside] for name, column in columns.items()})
            self._unsaved.add(int(start))
        self._trim()

    def between(self, since_us: int, until_us: int) -> Iterator[Profile]:
        """The windows that overlap that time, oldest first."""
        for start in sorted(self._saved | self._open.keys()):
            if start < until_us and start + self._window_us > since_us:
                yield self._read(start)

    def recent(self, until_us: int, *, min_rows: int) -> Profile | None:
        """The newest windows that start before `until_us`, merged until they hold `min_rows` rows or end.

        None when there is no window at all.
        """
        merged: Profile | None = None
        for start in sorted(self._saved | self._open.keys(), reverse=True):
            if start >= until_us:
                continue
            profile = self._read(start)
            merged = profile if merged is None else merged.merge(profile)
            if merged.rows >= min_rows:
                break
        return merged

    def save(self) -> None:
        """Writes what has changed, and removes the oldest files beyond the limit."""
        for start in sorted(self._unsaved):
            self._write(start)
        for start in sorted(self._saved)[: -self._keep_files]:
            self._path(start).unlink(missing_ok=True)
            self._saved.discard(start)

    def _opened(self, start: int) -> Profile:
        """The window's profile, which may be changed; the most recently used stands last."""
        profile = self._open.pop(start, None)
        if profile is None:
            span = Span(start, start + self._window_us)
            profile = self._load(self._path(start).read_bytes()) if start in self._saved else self._new(span=span)
        self._open[start] = profile
        return profile

    def _read(self, start: int) -> Profile:
        profile = self._open.get(start)
        return self._load(self._path(start).read_bytes()) if profile is None else profile

    def _trim(self) -> None:
        while len(self._open) > self._keep_open:
            start = next(iter(self._open))
            if start in self._unsaved:
                self._write(start)
            del self._open[start]

    def _write(self, start: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(start)
        draft = path.with_suffix(".draft")
        try:
            draft.write_bytes(self._open[start].to_bytes())
            os.replace(draft, path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        self._saved.add(start)
        self._unsaved.discard(start)

    def _path(self, start: int) -> Path:
        return self._folder / f"{start}{SUFFIX}"
