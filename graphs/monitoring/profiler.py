"""The profiler of one endpoint: takes in what its taps send, answers what a monitor asks.

`Profiler` does the work wherever it runs; `ray_profiler.py` runs it as an actor. Both are `ProfilerPort`s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from ...featurestore.quality.drift import Distance
from ...featurestore.quality.open_profile import load_profile, new_profile
from ...featurestore.quality.profile import Profile, Span
from ...featurestore.quality.reference import Reference
from ...runtime.errors import DefinitionError
from .decision_log import CAPACITY, DecisionLog
from .profile_windows import NewProfile, ProfileWindows
from .quality import Labelled
from .tap import TapBatch

# The score is profiled beside the features, under this name (unless a feature bears it).
PREDICTION = "prediction"
SAVE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Question:
    """What to compare: windows from `since_us` (None: as many as `min_rows` takes) to `until_us`."""

    until_us: int
    since_us: int | None = None
    min_rows: int = 200

    def __post_init__(self) -> None:
        if self.since_us is not None and self.since_us >= self.until_us:
            raise DefinitionError(f"since {self.since_us} is not before until {self.until_us}: swap them")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Traffic against its reference. `unmatched`: features that only one of the two has."""

    span: Span | None
    rows: int
    distances: tuple[Distance, ...]
    unmatched: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProfilerState:
    """How the profiler itself is doing; `trouble` is the last refusal of the disk, or ""."""

    received: int
    dropped: int
    decisions: int
    trouble: str


class ProfilerPort(Protocol):
    """What taps and monitors use."""

    def receive(self, batch: TapBatch) -> None:
        """Takes a batch in."""
        ...

    def label(self, ids: Sequence[str], labels: Sequence[float]) -> None:
        """Notes the labels of decisions, which may still be on their way."""
        ...

    def compare(self, reference: bytes, question: Question) -> Comparison:
        """The traffic of that time against a reference (`Reference.to_bytes`, or a profile's)."""
        ...

    def labelled(self, since_us: int | None = None, until_us: int | None = None) -> Labelled:
        """The decisions of that time whose label is known."""
        ...

    def decisions(self, ids: Sequence[str]) -> pl.DataFrame:
        """Decisions by id: request_id, ts_us, score, `feature.<name>` columns and label."""
        ...

    def profiles(self, since_us: int, until_us: int) -> list[bytes]:
        """The profiles of the windows that overlap that time, oldest first."""
        ...

    def state(self) -> ProfilerState:
        """How the profiler is doing; writes what is unsaved first."""
        ...

    def stop(self) -> None:
        """Writes what is unsaved and ends the profiler; its files stay."""
        ...


class Profiler:
    """Keeps a profile per window and the decision log under `folder`, and finds them there again.

    Not safe for threads: one caller at a time, as an actor has. Profiles are written every few seconds,
    decisions at once. When the disk refuses, work goes on in memory and `state().trouble` says so.
    """

    def __init__(
        self,
        folder: Path,
        *,
        window_us: int,
        capacity: int = CAPACITY,
        new: NewProfile = new_profile,
        load: Callable[[bytes], Profile] = load_profile,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._clock_s = clock_s
        self._windows = ProfileWindows(folder / "profiles", window_us=window_us, new=new, load=load)
        self._log = DecisionLog(folder, capacity=capacity)
        self._saved_at_s = clock_s()
        self._received = self._dropped = 0
        self._trouble = ""
        self._reference: tuple[bytes, Reference] | None = None

    def receive(self, batch: TapBatch) -> None:
        """Takes a batch in."""
        self._received += len(batch)
        self._dropped += batch.dropped
        columns = {name: batch.rows[:, i] for i, name in enumerate(batch.names)}
        columns.setdefault(PREDICTION, batch.scores)
        self._guarded(lambda: self._windows.add(columns, batch.ts_us))
        self._guarded(lambda: self._log.append(batch))
        if self._clock_s() - self._saved_at_s >= SAVE_EVERY_S:
            self.save()

    def label(self, ids: Sequence[str], labels: Sequence[float]) -> None:
        """Notes the labels of decisions, which may still be on their way."""
        self._guarded(lambda: self._log.label(ids, labels))

    def compare(self, reference: bytes, question: Question) -> Comparison:
        """The traffic of that time against a reference (`Reference.to_bytes`, or a profile's)."""
        expected = self._opened(reference)
        seen = self._seen(question)
        if seen is None:
            return Comparison(None, 0, (), ())
        ours, theirs = set(seen.names) - {PREDICTION}, set(expected.profile.names) - {PREDICTION}
        return Comparison(seen.span, seen.rows, expected.distances(seen), tuple(sorted(ours ^ theirs)))

    def labelled(self, since_us: int | None = None, until_us: int | None = None) -> Labelled:
        """The decisions of that time whose label is known."""
        return self._log.labelled(since_us=since_us, until_us=until_us)

    def decisions(self, ids: Sequence[str]) -> pl.DataFrame:
        """Decisions by id: request_id, ts_us, score, `feature.<name>` columns and label."""
        return self._log.find(ids)

    def profiles(self, since_us: int, until_us: int) -> list[bytes]:
        """The profiles of the windows that overlap that time, oldest first."""
        return [profile.to_bytes() for profile in self._windows.between(since_us, until_us)]

    def state(self) -> ProfilerState:
        """How the profiler is doing; writes what is unsaved first."""
        self.save()
        return ProfilerState(self._received, self._dropped, len(self._log), self._trouble)

    def stop(self) -> None:
        """Writes what is unsaved; its files stay."""
        self.save()

    def save(self) -> None:
        """Writes the profiles that have changed."""
        self._saved_at_s = self._clock_s()
        self._trouble = ""
        self._guarded(self._windows.save)

    def _seen(self, question: Question) -> Profile | None:
        if question.since_us is None:
            return self._windows.recent(question.until_us, min_rows=question.min_rows)
        merged: Profile | None = None
        for profile in self._windows.between(question.since_us, question.until_us):
            merged = profile if merged is None else merged.merge(profile)
        return merged

    def _opened(self, reference: bytes) -> Reference:
        # A monitor asks with the same reference every time.
        if self._reference is None or self._reference[0] != reference:
            self._reference = (reference, Reference.from_bytes(reference, load=self._load))
        return self._reference[1]

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self._trouble = (
                f"the profiler cannot write {error.filename or 'its files'} ({error.strerror}): free disk space"
            )
