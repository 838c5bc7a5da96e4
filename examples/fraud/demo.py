"""The main job: from raw transactions to a monitored, explained, autoscaled endpoint. `eagleray demo` runs it."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from eagleray import (
    Action,
    Alert,
    Endpoint,
    FeatureStore,
    Graph,
    InputError,
    Model,
    ModelRegistry,
    Monitor,
    Scale,
    Settings,
    hub,
    session,
    track,
)
from eagleray.examples.fraud import features as declared
from eagleray.examples.fraud.clients import Answers, Clients, Request
from eagleray.examples.fraud.days import Days, divide, moments
from eagleray.examples.fraud.fresh import fresh_home
from eagleray.examples.fraud.protocol import Metrics, evaluate
from eagleray.examples.fraud.simulator import FULL, SMALL, Simulation, SimulatorSize, simulate
from eagleray.examples.fraud.stages import Stages, framed
from eagleray.examples.fraud.training import CHAMPION, training

CLIENTS = 8
SHIFT_HOUR, SHIFT = 16, 5.0  # from this hour on, amounts are that many times what they were


@dataclass(frozen=True)
class DemoOptions:
    """What can be chosen on the command line."""

    full: bool = False
    keep: bool = False
    as_json: bool = False
    budget_s: float = 20.0


def main(options: DemoOptions) -> int:
    """Runs every stage; 0 when each one's own check held."""
    asked = Settings.from_env()
    stages = Stages()
    with ExitStack() as opened:
        home = opened.enter_context(fresh_home(asked.home))
        settings = Settings(home, redis_url=asked.redis_url, ray_address=asked.ray_address)
        with stages.stage("start") as stage:
            running = opened.enter_context(session(settings, num_cpus=4, dashboard=options.keep))
            store = opened.enter_context(FeatureStore(settings))
            stage.say("Ray, on loopback" if settings.ray_address is None else f"Ray at {settings.ray_address}")
        summary = run(store, FULL if options.full else SMALL, stages, budget_s=options.budget_s)
        print(json.dumps(summary, indent=1) if options.as_json else summary_table(summary))
        for reason in stages.broken:
            print(f"did not hold: {reason}", file=sys.stderr)
        if options.keep:
            print(f"\nendpoint   {summary['url']}/docs")
            print(f"Ray        {running.dashboard_url}   token: {running.settings.home / 'ray' / 'token'}")
            print(f"MLflow     mlflow ui --backend-store-uri {settings.tracking}\nCtrl-C ends it all.", flush=True)
            threading.Event().wait()
    return 1 if stages.broken else 0


def run(store: FeatureStore, size: SimulatorSize, stages: Stages, *, budget_s: float) -> dict[str, Any]:
    """The stages in order; what they found."""
    with stages.stage("data") as stage:
        world = simulate(size)
        days = divide(world.transactions)
        frauds = int(world.transactions["is_fraud"].sum())
        stage.say(f"{world.transactions.height:,} transactions, {frauds:,} frauds")
    with stages.stage("history") as stage:
        stage.say(f"{ingest_history(store, world, days):,} events in batch, offline and online")
    with stages.stage("stream") as stage:
        seen, differing = stream_days(store, days)
        values = seen.height * seen.width
        stage.say(f"{differing} of {values:,} values differ between online and offline")
        stage.check(differing == 0 and values > 0, "online and offline differ")
    with stages.stage("train") as stage:
        rows = store.get_historical_features(declared.fraud, days.training)
        described = hub.load("hub://describe")(rows.to_polars(), label="is_fraud")
        watch = Monitor(
            "fraud",
            reference=rows.to_polars().select(rows.feature_names),
            window="1h",
            labels=pl.DataFrame({"request_id": days.served["transaction_id"], "label": days.served["is_fraud"]}),
            alerts=[Alert.drift()],
            actions=[Action.log()],
            settings=store.settings,
        )
        pipeline = training(rows, settings=store.settings, profile=watch.reference_bytes(), on_progress=stage.progress)
        trained = pipeline.run(budget_s=budget_s, settings=store.settings)
        stage.check(not trained["promote"].value, trained["promote"].value)
        model = ModelRegistry(store.settings).load(CHAMPION)
        stage.say(f"{described.table.height} columns described, model {model.name}:{model.version} is champion")
    with stages.stage("deploy") as stage:
        endpoint = deploy(store, watch)
        stage.say(endpoint.url)
    with stages.stage("serve") as stage:
        answers = serve_day(store, endpoint, days)
        stage.say(f"{len(answers.latencies_ms):,} requests, p50 {answers.quantile_ms(0.5):.1f} ms")
        stage.check(refuses(endpoint), "a malformed request was not refused with a reason")
    with stages.stage("monitor") as stage:
        midnight = days.served["ts"].dt.truncate("1d")[0]
        shifted_from = midnight + timedelta(hours=SHIFT_HOUR)
        arrived = watch.wait_for(len(answers.latencies_ms))
        before = watch.check(shifted_from, since=midnight)
        after = watch.check(midnight + timedelta(days=1), since=shifted_from)
        served_ap = before.quality.metrics["average_precision"] if before.quality else float("nan")
        stage.say(f"drift {', '.join(after.drifted) or 'none'}; average precision of what was served {served_ap:.3f}")
        stage.check(arrived, "the taps did not hand over what was served")
        stage.check(not before.drifted, f"drift before the shift: {', '.join(before.drifted)}")
        stage.check("amount" in after.drifted, "the shift of the amounts was not noticed")
    with stages.stage("explain") as stage:
        gap, largest = explain_one(endpoint, model, days.served)
        stage.say(largest)
        stage.check(gap < 1e-4, "the contributions do not add up to the score")
    with stages.stage("scale") as stage:
        load = scale_out(endpoint, days.served)
        decided = [str(decision) for decision in endpoint.scaling()]
        stage.say("; ".join(decided))
        stage.check(len(decided) > 0, "the load moved no replica")
    later = judged(model, seen, days, answers)
    return {
        **{name: round(value, 3) for name, value in asdict(later).items()},
        "skew": f"{differing} of {values:,} values differ",
        "requests_per_s": round(load.per_second),
        "p50_ms": round(answers.quantile_ms(0.5), 2),
        "p99_ms": round(answers.quantile_ms(0.99), 2),
        "drift": ", ".join(after.drifted),
        "served_average_precision": round(served_ap, 3),
        "scaling": decided,
        "url": endpoint.url,
        "seconds": stages.seconds | {"total": round(sum(stages.seconds.values()), 1)},
        "held": not stages.broken,
    }


def ingest_history(store: FeatureStore, world: Simulation, days: Days) -> int:
    """Static sources and all days before the last week, in batch; the events that count."""
    for feature_set in declared.SETS:
        store.apply(feature_set)
    begin = world.transactions["ts"].min()
    end = days.streamed["ts"].min()
    known = days.labels.filter(pl.col("known_ts") < end)
    return (
        store.ingest(declared.homes, world.customers.with_columns(ts=pl.lit(begin)))
        + store.ingest(declared.places, world.terminals.with_columns(ts=pl.lit(begin)))
        + store.ingest(declared.customers, days.history)
        + store.ingest(declared.terminals, days.history)
        + store.ingest(declared.risks, known)
    )


def stream_days(store: FeatureStore, days: Days) -> tuple[pl.DataFrame, int]:
    """Six days as streams; every online vector just before its payment counts, and how many values differ offline."""
    reader, seen = store.vector_reader(declared.fraud), []
    stretches = list(moments(days.streamed, days.labels))
    with store.stream(declared.customers), store.stream(declared.terminals), store.stream(declared.risks):
        for labels, payments in track(stretches, "stream six days"):
            store.push(declared.risks, labels, wait=True)
            seen.append(reader.frame(payments.to_dicts()))
            store.push(declared.customers, payments, wait=True)
            store.push(declared.terminals, payments, wait=True)
    online = pl.concat(seen)
    offline = store.get_historical_features(declared.fraud, days.streamed).to_polars().select(online.columns)
    return online, sum(differing(online[name], offline[name]) for name in online.columns)


def differing(online: pl.Series, offline: pl.Series) -> int:
    """Values that are not the same bits; null equals null only."""
    if online.dtype != offline.dtype:
        return len(online)
    bits = [series.reinterpret(signed=False) if series.dtype.is_numeric() else series for series in (online, offline)]
    return int((~bits[0].eq_missing(bits[1])).sum())


def deploy(store: FeatureStore, watch: Monitor) -> Endpoint:
    """check -> enrich -> predict -> respond, with a tap to the profiler; one replica, two when the load asks."""
    graph = Graph("fraud")
    graph.to(graph.check(sane)).to(graph.enrich(declared.fraud)).to(graph.predict(CHAMPION)).respond()
    scale = Scale(min=1, max=2, target=CLIENTS, up_delay_s=1, down_delay_s=5)
    return graph.deploy(store=store, scale=scale, tap=watch.tap())


def sane(body: Request) -> None:
    """A rule of the business, before anything is read."""
    amount = body.get("amount")
    if not isinstance(amount, (int, float)) or not 0 <= amount <= 1e6:
        raise InputError(f"amount must be between 0 and 1,000,000, got {amount!r}")


def requests_of(payments: pl.DataFrame, *, prefix: str = "", times: float = 1.0) -> list[Request]:
    """The payments as an HTTP client would send them."""
    return [
        {
            "id": f"{prefix}{id_}",
            "ts": ts.isoformat(),
            "customer_id": customer,
            "terminal_id": terminal,
            "amount": amount * times,
        }
        for id_, ts, customer, terminal, amount in payments.select(
            "transaction_id", "ts", "customer_id", "terminal_id", "amount"
        ).iter_rows()
    ]


def serve_day(store: FeatureStore, endpoint: Endpoint, days: Days) -> Answers:
    """The last day over HTTP, hour by hour; what an hour brought counts in the next. The late amounts are shifted."""
    answers, clients = Answers(), Clients(endpoint.call, CLIENTS)
    hours = days.served.group_by(pl.col("ts").dt.truncate("1h"), maintain_order=True)
    with store.stream(declared.customers), store.stream(declared.terminals), store.stream(declared.risks):
        for (hour,), payments in track(list(hours), "serve a day"):
            labels = days.labels.filter(pl.col("known_ts").dt.truncate("1h") == hour)
            store.push(declared.risks, labels)
            shifted = payments["ts"].dt.hour()[0] >= SHIFT_HOUR
            asked = requests_of(payments, prefix="shifted-", times=SHIFT) if shifted else requests_of(payments)
            clients.send(asked, into=answers)
            store.push(declared.customers, payments)
            store.push(declared.terminals, payments)
    clients.close()
    return answers


def refuses(endpoint: Endpoint) -> bool:
    """A request that makes no sense gets an error that says so."""
    try:
        endpoint.call({"id": "bad", "ts": "2018-06-01T00:00:00Z", "customer_id": 1, "terminal_id": 1, "amount": -1})
    except InputError as error:
        return "amount must be" in str(error)
    return False


def explain_one(endpoint: Endpoint, model: Model, day: pl.DataFrame) -> tuple[float, str]:
    """One payment's contributions over HTTP: how far they are from adding up to the score, and the largest."""
    request = requests_of(day.filter(pl.col("is_fraud")).head(1))[0]
    told = endpoint.explain(request)
    margin = np.array([told["base_value"] + sum(told["contributions"].values())])
    if model.calibration is not None:
        margin = model.calibration.apply(margin)
    ranked = sorted(told["contributions"].items(), key=lambda item: -abs(item[1]))
    return abs(1 / (1 + np.exp(-float(margin[0]))) - told["score"]), ", ".join(
        f"{name} {share:+.2f}" for name, share in ranked[:3]
    )


def scale_out(endpoint: Endpoint, day: pl.DataFrame) -> Answers:
    """The day again and again from many clients until there are more replicas, then once for the record."""
    clients = Clients(endpoint.call, 3 * CLIENTS)
    requests = requests_of(day, prefix="load-")
    clients.send_until(lambda: endpoint.status().replicas > 1, requests, at_most_s=45)
    with_both = Answers()
    clients.send(requests, into=with_both)
    clients.close()
    return with_both


def judged(model: Model, seen: pl.DataFrame, days: Days, answers: Answers) -> Metrics:
    """The handbook's measures over the last week: streamed days by online vectors, the last day by its answers."""
    vectors = seen.select(pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in model.features)
    streamed = days.streamed.with_columns(score=pl.Series(model.predict(vectors.to_numpy())))
    ids = days.served["transaction_id"].cast(pl.String)
    served = days.served.with_columns(score=ids.replace_strict(answers.scores, default=None, return_dtype=pl.Float64))
    return evaluate(pl.concat([streamed, served.drop_nulls("score")]))


def summary_table(summary: dict[str, Any]) -> str:
    """What the demo found, in two columns."""
    seconds = ", ".join(f"{name} {value:.0f}" for name, value in summary["seconds"].items())
    rows = {
        "ROC AUC, the last week": f"{summary['roc_auc']:.3f}",
        "average precision": f"{summary['average_precision']:.3f}",
        "Card Precision@100": f"{summary['card_precision']:.3f}",
        "online against offline": summary["skew"],
        "requests/s under load": f"{summary['requests_per_s']}",
        "latency p50 / p99": f"{summary['p50_ms']} / {summary['p99_ms']} ms",
        "drift": summary["drift"],
        "average precision of what was served": f"{summary['served_average_precision']:.3f}",
        "autoscaling": "; ".join(summary["scaling"]),
        "seconds": seconds,
    }
    return framed("\nfraud", rows)
