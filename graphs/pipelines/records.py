"""What is kept of a run: of the whole, and of each of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"
CACHED, SKIPPED = "CACHED", "SKIPPED"
# The states of a step that is not run again on resume.
ENDED = (FINISHED, CACHED, SKIPPED)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run; `shape` is the hash of its steps' names and connections, `parameters` are refs of kept values by name.

    `tracked` is the MLflow run ("" where there is none), `owner` who drives it ("HOST:PID"), `epoch` grows when another
    takes it over. `workers` is where its steps run ("here", "ray").
    """

    id: str
    pipeline: str
    shape: str
    status: str = RUNNING
    parameters: Mapping[str, str] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    tracked: str = ""
    owner: str = ""
    epoch: int = 1
    workers: str = "here"
    started_us: int = 0
    ended_us: int | None = None
    error: str = ""

    @property
    def duration_s(self) -> float | None:
        """How long it took; None while it runs."""
        return None if self.ended_us is None else (self.ended_us - self.started_us) / 1e6


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of a run (of a map: one item, or the whole); a step that has not begun has none.

    `output` is the ref of what it returned, `about` that in words, `tracked` its MLflow run, `place` its turn among
    the steps. `key` stands for its code and inputs where it is cached.
    """

    run: str
    step: str
    status: str
    place: int = 0
    output: str = ""
    about: str = ""
    key: str = ""
    tracked: str = ""
    started_us: int | None = None
    ended_us: int | None = None
    error: str = ""

    @property
    def duration_s(self) -> float | None:
        """How long it took; None where that is not known."""
        return None if self.ended_us is None or self.started_us is None else (self.ended_us - self.started_us) / 1e6


@dataclass(frozen=True, slots=True)
class Cached:
    """What a step with this key (its code and inputs) gave, in which MLflow run."""

    key: str
    output: str
    about: str
    tracked: str
    made_us: int
