"""`eagleray features streams`: the workers that take events to the stores, and what they put aside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.rich_output import show_one, show_rows
from ..runtime.settings import Settings
from ..runtime.typer_options import AsJson
from .typer_feature_set import Target, feature_set_at

if TYPE_CHECKING:
    from .store import FeatureStore
    from .streams.stream_status import StreamStatus

app = typer.Typer(no_args_is_help=True, help="The streams of feature sets: what they are at, start and stop.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="A feature set's name.")]


@app.command("list")
def list_streams(as_json: AsJson = False) -> None:
    """List the feature sets and how their streams stand."""
    with _store() as store:
        rows = [_row(store.streams.status(found.name)[0]) for found in store.feature_sets()]
    show_rows(rows, as_json=as_json, empty="no feature set is defined yet: FeatureStore().apply(...) defines one")


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one feature set's streams: every partition's owner and lag, every worker."""
    with _store() as store:
        store.get(name)
        found = store.streams.status(name)[0]
    partitions = {
        p.partition: {"owner": p.owner, "lag_events": p.lag_events, "lag_s": p.lag_s, "held_events": p.held_events}
        for p in found.partitions
    }
    workers = {
        w.owner: {"host": w.host, "pid": w.pid, "events": w.events, "events_s": w.events_s, "error": w.error}
        for w in found.workers
    }
    show_one({**_row(found), "partitions": partitions, "workers": workers}, as_json=as_json)


@app.command()
def start(
    target: Target,
    workers: Annotated[int, typer.Option(min=1, help="How many share the partitions.")] = 1,
    source: Annotated[
        str | None, typer.Option(metavar="URL", help="redis://HOST:PORT/STREAM or kafka://HOST:PORT/TOPIC.")
    ] = None,
    cpus: Annotated[float, typer.Option(min=0, help="What each reserves of the cluster.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Deploy a set's stream on the Ray that stays (eagleray up, or RAY_ADDRESS); again to replace its workers."""
    feature_set = feature_set_at(target)
    with _store() as store:
        store.apply(feature_set)
        found = store.deploy_stream(feature_set, workers=workers, source=source, cpus=cpus)[0]
    show_one(_row(found), as_json=as_json)


@app.command()
def stop(name: Name, as_json: AsJson = False) -> None:
    """Stop a set's deployed workers, once their work is saved."""
    with _store() as store:
        store.get(name)
        show_one({"stopped": store.streams.stop(name)}, as_json=as_json)


@app.command()
def metrics() -> None:
    """Print lag, throughput and dead letters of all streams, in the text format that Prometheus reads."""
    from .streams.stream_status import prometheus

    with _store() as store:
        print(prometheus([one for found in store.feature_sets() for one in store.streams.status(found.name)]), end="")


def dead_letters(
    name: Name,
    most: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the rows that were put aside, newest last, with the reasons."""
    with _store() as store:
        letters = store.dead_letters(name, most=most)
    rows = [
        {"reason": one.reason, "row": one.row, "at": "" if one.place is None else "{}:{}".format(*one.place)}
        for one in letters
    ]
    show_rows(rows, as_json=as_json, empty="no dead letter")


@app.command()
def replay(target: Target, as_json: AsJson = False) -> None:
    """Push the dead letters of a set again, after a cure."""
    feature_set = feature_set_at(target)
    with _store() as store:
        show_one({"accepted": store.streams.replay(feature_set)}, as_json=as_json)


def _row(found: StreamStatus) -> dict[str, object]:
    owned = sum(one.owner is not None for one in found.partitions)
    return {
        "set": found.name,
        "workers": len(found.workers),
        "owned": f"{owned}/{len(found.partitions)}",
        "lag_events": found.lag_events,
        "lag_s": round(found.lag_s, 1),
        "events_s": found.events_s,
        "dead_letters": found.dead_letters,
        "error": found.last_error or "",
    }


@contextmanager
def _store() -> Iterator[FeatureStore]:
    from .store import FeatureStore

    with FeatureStore(Settings.from_env()) as store:
        yield store
