"""The monitor of an endpoint: traffic against a reference, labels against scores, alerts and actions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
import polars as pl

from ...featurestore.quality.drift import Distance
from ...featurestore.quality.profile import Span, numeric_columns
from ...featurestore.quality.quantile_profile import QuantileProfile
from ...functions.models.model import Model
from ...runtime.errors import InputError
from ...runtime.settings import Settings
from ...runtime.units import duration_us
from .action import Action, Failure, Notice, perform
from .alert import MIN_ROWS, Alert, Firing, evaluate
from .profiler import Comparison, ProfilerPort, Question
from .quality import METRICS, Labelled, Quality, quality
from .tap_spec import TapSpec, reference_of

_POLL_S = 0.05
Labels = pl.DataFrame | Callable[[], pl.DataFrame]
Instant = datetime | int


class Named(Protocol):
    """Anything with the name of an endpoint."""

    @property
    def name(self) -> str:
        """The endpoint's name."""
        ...


@dataclass(frozen=True, slots=True)
class MonitorReport:
    """One check. `span` and `rows` tell which traffic was judged; `quality` is None without labels.

    `dropped` counts requests that never reached the profiler; `failures` are actions that did not succeed;
    `trouble` says what the profiler could not write, or "".
    """

    endpoint: str
    at_us: int
    span: Span | None
    rows: int
    distances: tuple[Distance, ...]
    unmatched: tuple[str, ...]
    quality: Quality | None
    firings: tuple[Firing, ...]
    failures: tuple[Failure, ...] = ()
    dropped: int = 0
    trouble: str = ""

    @property
    def drifted(self) -> tuple[str, ...]:
        """The features that have drifted, the worst first."""
        return tuple(firing.subject for firing in self.firings if firing.kind == "drift")


@dataclass(frozen=True, slots=True)
class Monitor:
    """Watches one endpoint (its name, or what `deploy` gave back).

    `reference`: the training rows as `reference_bytes` gives them, or as a frame in the order of time whose numeric
    columns count; a column named "prediction" is compared with the scores. Or a model, whose own profile of its
    training rows is taken: that one does not know what varies by itself over a day or a week.
    `window`: the length of a profile. `labels`: a frame with the columns request_id and label, or a function that gives
    one.
    """

    endpoint: str | Named
    _: KW_ONLY
    reference: bytes | pl.DataFrame | Model
    window: str = "1m"
    labels: Labels | None = None
    alerts: Sequence[Alert] = field(default_factory=lambda: (Alert.drift(),))
    actions: Sequence[Action] = ()
    settings: Settings = field(default_factory=Settings.from_env)
    _profiled: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.tap()  # a bad name or window is told here

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.endpoint if isinstance(self.endpoint, str) else self.endpoint.name

    def tap(self, *, flush_ms: int = 1_000) -> TapSpec:
        """What a deployment hands to its replicas; each opens a tap with it."""
        return TapSpec(self.name, self.settings, duration_us(self.window), flush_ms=flush_ms)

    def reference_bytes(self) -> bytes:
        """The reference as `Reference.to_bytes` has it."""
        if isinstance(self.reference, bytes):
            return self.reference
        if isinstance(self.reference, Model):
            return _profiled(self.reference)
        if not self._profiled:
            self._profiled.append(reference_bytes(self.reference, settings=self.settings))
        return self._profiled[0]

    def wait_for(self, requests: int, *, timeout_s: float = 30.0, profiler: ProfilerPort | None = None) -> bool:
        """True once so many requests have reached the profiler (a tap hands over every `flush_ms`); False in time."""
        source = self.tap().profiler() if profiler is None else profiler
        deadline = time.monotonic() + timeout_s
        while (state := source.state()).received + state.dropped < requests:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def check(
        self,
        now: Instant | None = None,
        *,
        since: Instant | None = None,
        profiler: ProfilerPort | None = None,
    ) -> MonitorReport:
        """Judges the traffic before `now` (default: the clock) and acts on what fires.

        Windows are taken whole: all that overlap [since, now), or without `since` the newest ones that hold
        enough rows for the alerts. Times are those of the tapped requests. `profiler` replaces the endpoint's own.
        """
        at_us = time.time_ns() // 1_000 if now is None else _us(now)
        since_us = None if since is None else _us(since)
        source = self.tap().profiler() if profiler is None else profiler
        known = self.labels() if callable(self.labels) else self.labels
        if known is not None:
            source.label(*_label_columns(known))
        min_rows = max((a.min_rows for a in self.alerts if a.kind == "drift"), default=MIN_ROWS)
        comparison = source.compare(self.reference_bytes(), Question(at_us, since_us, min_rows))
        report = judge(self, at_us, comparison, source.labelled(since_us, at_us))
        failures = perform(self.actions, Notice(self.name, at_us, report.firings)) if report.firings else ()
        state = source.state()
        return replace(report, failures=failures, dropped=state.dropped, trouble=state.trouble)


def judge(monitor: Monitor, at_us: int, comparison: Comparison, labelled: Labelled) -> MonitorReport:
    """The report on what was found, before any action. Pure."""
    binary = bool(np.isin(labelled.labels, (0.0, 1.0)).all())
    usual = METRICS if binary else ("rmse",)
    wanted = [*usual, *(alert.metric for alert in monitor.alerts if alert.kind == "quality")]
    told = quality(labelled, metrics=wanted) if labelled.labels.size else None
    return MonitorReport(
        endpoint=monitor.name,
        at_us=at_us,
        span=comparison.span,
        rows=comparison.rows,
        distances=comparison.distances,
        unmatched=comparison.unmatched,
        quality=told,
        firings=evaluate(monitor.alerts, comparison.distances, told),
    )


def reference_bytes(
    frame: pl.DataFrame, *, features: Sequence[str] | None = None, settings: Settings | None = None
) -> bytes:
    """The reference of a training frame (its features, or all its numeric columns), to keep with the model.

    Rows should stand in the order of time: what a feature does over a day or a week is then known as usual.
    """
    return reference_of(numeric_columns(frame, features), Settings.from_env() if settings is None else settings)


def _profiled(model: Model) -> bytes:
    if not model.profile:
        raise InputError(f"model {model.name!r} was saved without a profile: give the training rows as reference=")
    return QuantileProfile({name: one.to_dict() for name, one in model.profile.items()}).to_bytes()


def _label_columns(frame: pl.DataFrame) -> tuple[list[str], list[float]]:
    missing = {"request_id", "label"} - set(frame.columns)
    if missing:
        raise InputError(
            f"the labels lack {', '.join(sorted(missing))}: give a frame with the columns request_id and label"
        )
    known = frame.select(pl.col("request_id").cast(pl.String), pl.col("label").cast(pl.Float64)).drop_nulls()
    return known.get_column("request_id").to_list(), known.get_column("label").to_list()


def _us(instant: Instant) -> int:
    """Microseconds since the epoch; a datetime without a time zone is UTC."""
    if isinstance(instant, int):
        return instant
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
