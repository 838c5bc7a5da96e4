"""The whole of monitoring: training profile, a day of traffic, a shift, late labels, alerts, actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.quality.exact_profile import ExactProfile
from eagleray.functions.models.feature_profile import profile_of
from eagleray.functions.models.model import Model
from eagleray.graphs.monitoring.action import Action, Notice
from eagleray.graphs.monitoring.alert import Alert
from eagleray.graphs.monitoring.monitor import Monitor, reference_bytes
from eagleray.graphs.monitoring.profiler import Profiler
from eagleray.graphs.monitoring.tap import TapBuffer
from eagleray.runtime.errors import DefinitionError, InputError
from eagleray.runtime.settings import Settings

HOUR_US = 3_600_000_000
DAY = datetime(2018, 8, 1, tzinfo=UTC)
DAY_US = int(DAY.timestamp()) * 1_000_000
SHIFT_HOUR = 18


def features(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Amounts and what a feature store makes of them, skewed as such things are."""
    amount = rng.gamma(2, 30, n)
    columns = {"amount": amount, "night": (rng.random(n) < 0.15) * 1.0}
    for days in (1, 7, 30):
        columns[f"count_{days}d"] = rng.poisson(2.5 * days, n).astype(float)
        columns[f"avg_{days}d"] = rng.lognormal(4, 0.6 / days**0.3, n)
        columns[f"risk_{days}d"] = np.where(rng.random(n) < 0.02 * days, rng.beta(1, 9, n), 0.0)
    columns["avg_1d"][columns["count_1d"] == 0] = np.nan
    return columns


def exact_reference(seed: int) -> bytes:
    week = ExactProfile()
    week.update(features(np.random.default_rng(1_000 + seed), 5_600))
    return week.to_bytes()


def serve_a_day(profiler: Profiler, seed: int, *, shift: float) -> tuple[list[str], list[float]]:
    """Sends 800 transactions through a tap; those after 18:00 have their amounts multiplied. Ids and labels."""
    rng = np.random.default_rng(seed)
    n = 800
    seconds = np.sort(np.clip(rng.normal(43_200, 20_000, n), 0, 86_399))
    columns = features(rng, n)
    columns["amount"][seconds >= SHIFT_HOUR * 3_600] *= shift
    rows = np.column_stack(list(columns.values()))
    fraud = rng.random(n) < 0.1
    scores = np.clip(0.4 * fraud + rng.normal(0.3, 0.2, n), 0, 1)
    tap = TapBuffer(tuple(columns), profiler.receive)
    for i in range(n):
        tap.put(f"t{i}", rows[i], scores[i], DAY_US + int(seconds[i] * 1e6))
    assert tap.close()
    return [f"t{i}" for i in range(n)], fraud.astype(float).tolist()


def local(folder: Path) -> Profiler:
    return Profiler(folder, window_us=HOUR_US, new=ExactProfile, load=ExactProfile.from_bytes)


def test_a_shift_in_the_last_hours_is_found_and_nothing_else(tmp_path: Path, settings: Settings) -> None:
    """12 days of other traffic each: silent before the shift, at any hour with enough rows; after it, `amount`."""
    for seed in range(12):
        profiler = local(tmp_path / str(seed))
        serve_a_day(profiler, seed, shift=2.0)
        monitor = Monitor("fraud", reference=exact_reference(seed), window="1h", settings=settings)
        for hour in (10, 14, SHIFT_HOUR):
            quiet = monitor.check(DAY + timedelta(hours=hour), profiler=profiler)
            assert quiet.rows >= 150
            assert quiet.firings == ()
        whole = monitor.check(DAY + timedelta(hours=SHIFT_HOUR), since=DAY, profiler=profiler)
        assert whole.rows > 500
        assert whole.firings == ()
        end = DAY + timedelta(days=1)
        loud = monitor.check(end, since=DAY + timedelta(hours=SHIFT_HOUR), profiler=profiler)
        assert loud.drifted == ("amount",)
        # Without `since` the newest hours until there are 200 rows, the quiet ones among them diluting the shift.
        assert monitor.check(end, profiler=profiler).drifted in (("amount",), ())


def test_labels_give_the_quality_of_what_was_served(tmp_path: Path, settings: Settings) -> None:
    profiler = local(tmp_path)
    ids, labels = serve_a_day(profiler, 1, shift=1.0)
    frame = pl.DataFrame({"request_id": ids[:600], "label": labels[:600]})
    alerts = [Alert.quality("average_precision", below=0.999), Alert.quality("log_loss", above=5.0)]
    monitor = Monitor(
        "fraud",
        reference=exact_reference(1),
        window="1h",
        labels=lambda: frame,
        alerts=alerts,
        settings=settings,
    )
    report = monitor.check(DAY + timedelta(days=1), profiler=profiler)
    assert report.quality is not None
    assert report.quality.coverage == 0.75
    assert set(report.quality.metrics) == {"average_precision", "roc_auc", "log_loss"}
    assert [f.subject for f in report.firings] == ["average_precision"]
    unlabelled = Monitor("fraud", reference=exact_reference(1), window="1h", settings=settings)
    assert unlabelled.check(DAY, profiler=local(tmp_path / "other")).quality is None
    wrong = Monitor("fraud", reference=b"", labels=frame.rename({"label": "y"}), settings=settings)
    with pytest.raises(InputError, match="the labels lack label"):
        wrong.check(DAY, profiler=profiler)


def test_actions_are_told_and_their_failures_reported(tmp_path: Path, settings: Settings) -> None:
    profiler = local(tmp_path)
    serve_a_day(profiler, 2, shift=3.0)
    told: list[Notice] = []

    def broken(notice: Notice) -> None:
        raise RuntimeError("no such page")

    monitor = Monitor(
        "fraud",
        reference=exact_reference(2),
        window="1h",
        actions=[Action.call(broken), Action.call(told.append)],
        settings=settings,
    )
    since = DAY + timedelta(hours=SHIFT_HOUR)
    report = monitor.check(DAY + timedelta(days=1), since=since, profiler=profiler)
    assert [f.reason for f in report.failures] == ["RuntimeError: no such page"]
    assert told[0].firings == report.firings
    assert told[0].endpoint == "fraud"
    told.clear()
    monitor.check(DAY + timedelta(hours=12), profiler=profiler)
    assert told == []


def test_a_models_own_profile_is_a_reference(tmp_path: Path, settings: Settings) -> None:
    """Without rows, and without whylogs: what the model kept of its training."""
    week = features(np.random.default_rng(1_003), 5_600)
    profile = profile_of(np.column_stack(list(week.values())), list(week))
    model = Model("fraud", "classification", "is_fraud", tuple(week), (), profile=profile)
    profiler = local(tmp_path)
    serve_a_day(profiler, 3, shift=2.0)
    monitor = Monitor("fraud", reference=model, window="1h", settings=settings)
    shifted = DAY + timedelta(hours=SHIFT_HOUR)
    assert monitor.check(shifted, since=DAY, profiler=profiler).firings == ()
    assert monitor.check(DAY + timedelta(days=1), since=shifted, profiler=profiler).drifted == ("amount",)
    bare = Monitor("fraud", reference=replace(model, profile={}), settings=settings)
    with pytest.raises(InputError, match="saved without a profile: give the training rows"):
        bare.reference_bytes()


def test_a_monitor_says_at_once_what_is_wrong(settings: Settings) -> None:
    for name, window in (("../etc", "1m"), ("fraud", "soon"), ("", "1m")):
        with pytest.raises(DefinitionError):
            Monitor(name, reference=b"", window=window, settings=settings)
    assert Monitor("fraud", reference=b"", window="5m", settings=settings).tap().window_us == 300_000_000


def test_the_real_thing_on_ray(ray_cluster: Settings) -> None:
    """A training frame as the reference, a tap as a replica opens it, the actor, whylogs, a restart of it."""
    rng = np.random.default_rng(3)
    frame = pl.DataFrame(features(rng, 5_600)).with_columns(label=pl.lit(0), city=pl.lit("x"))
    names = [name for name in frame.columns if name not in ("label", "city")]
    reference = reference_bytes(frame, features=names, settings=ray_cluster)
    monitor = Monitor("fraud-real", reference=reference, window="1h", settings=ray_cluster)
    tap = monitor.tap().open(tuple(names))
    day = features(rng, 800)
    send(tap, day, range(400))
    assert tap.flush(timeout_s=60)
    quiet = monitor.check(DAY + timedelta(hours=12))
    assert (quiet.rows, quiet.firings, quiet.dropped) == (200, (), 0)
    day["amount"] = day["amount"] * 2
    send(tap, day, range(400, 800))
    assert monitor.wait_for(800)
    assert not monitor.wait_for(801, timeout_s=0.0)
    assert tap.close(timeout_s=60)
    loud = monitor.check(DAY + timedelta(hours=24), since=DAY + timedelta(hours=12))
    assert (loud.rows, loud.drifted, loud.unmatched) == (400, ("amount",), ())
    actor = monitor.tap().profiler()
    actor.label(["t0", "t500"], [0.0, 1.0])
    assert actor.labelled().labels.tolist() == [0.0, 1.0]
    assert actor.decisions(["t500"]).row(0, named=True)["feature.amount"] == day["amount"][500]
    assert actor.state().decisions == 800
    actor.stop()
    again = monitor.check(DAY + timedelta(hours=24), since=DAY + timedelta(hours=12))
    assert (again.rows, again.drifted) == (400, ("amount",))
    assert monitor.tap().profiler().labelled().decisions == 800
    monitor.tap().profiler().stop()


def send(tap: TapBuffer, columns: Mapping[str, np.ndarray], numbers: range) -> None:
    """Spreads the requests evenly over the day, 800 of them."""
    rows = np.column_stack(list(columns.values()))
    for i in numbers:
        tap.put(f"t{i}", rows[i], 0.5, DAY_US + i * 86_400_000_000 // 800)
