"""How often each step ran, how long it took, how often it failed."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from .chain import Stage
from .event import Batch


@dataclass(slots=True)
class Figures:
    """Of one step: `events` that came, `failed` of them, `runs` (a run may take several events), `busy_us` in all."""

    events: int = 0
    failed: int = 0
    runs: int = 0
    busy_us: float = 0.0

    @property
    def mean_ms(self) -> float:
        """Milliseconds a run, on average."""
        return self.busy_us / self.runs / 1000 if self.runs else 0.0

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.events + other.events,
            self.failed + other.failed,
            self.runs + other.runs,
            self.busy_us + other.busy_us,
        )

    def as_dict(self) -> dict[str, float]:
        """By name; `Figures(**it)` reads them back."""
        return asdict(self)

    def __str__(self) -> str:
        told = f"{_short(self.events)} events, {self.mean_ms:.3g} ms"
        return f"{told}, {_short(self.failed)} failed" if self.failed else told


def metered(stage: Stage, figures: Figures) -> Stage:
    """The stage, counted and timed; 0.2 us a run."""
    run, clock = stage.run, time.perf_counter_ns

    def note(batch: Batch, events: int, began_ns: int) -> None:
        figures.busy_us += (clock() - began_ns) / 1000
        figures.runs += 1
        figures.events += events
        figures.failed += len(batch.failed)

    if stage.is_async:

        async def timed_async(batch: Batch) -> None:
            events, began_ns = len(batch.events), clock()
            waiting = run(batch)
            if waiting is not None:
                await waiting
            note(batch, events, began_ns)

        return Stage(stage.name, timed_async, is_async=True, close=stage.close)

    def timed(batch: Batch) -> None:
        events, began_ns = len(batch.events), clock()
        run(batch)
        note(batch, events, began_ns)

    return Stage(stage.name, timed, close=stage.close)


def _short(count: int) -> str:
    """1234 is 1.23k."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
