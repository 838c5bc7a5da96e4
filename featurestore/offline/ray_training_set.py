"""Adapter: training sets larger than memory, joined in parts by Ray tasks; the same kernel, the same bits.

Labels and events are split by a hash of the entity, part by part joined as in one process, and put together again in
the order of the labels. What passes between tasks lies in Ray's object store, which spills to disk; a task holds one
part of the events and of the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import ray
import ray.data

from ...runtime.bundle import local_modules
from ...runtime.errors import EaglerayError, InputError, StorageError
from ...runtime.ray_tasks import travelling
from ..definitions.feature_vector import FeatureVector
from ..definitions.wanted import Wanted
from .engine_choice import Labels
from .label_join import AsOf, assembled, feature_names, questions, spine_of
from .offline import APPLIED, OFFSET, PARTITION, OfflineStore
from .offline import wanted as wanted_rows
from .pins import Cut
from .ray_table import Dataset, RayTable, arrow_of, frame_of
from .set_join import columns_read, oldest_read, set_columns
from .training_set import TrainingSet

ROWS_A_PART = 1_000_000  # events, or labels: what one task joins at once
CHUNK, ROW = "_chunk", "_row"
Refs = list[Any]


@dataclass(frozen=True, slots=True)
class Job:
    """What every task knows; the vector comes packed, with the user's own code."""

    vector: bytes
    wanted: tuple[Wanted, ...]
    cuts: dict[str, Cut]
    offline: OfflineStore
    as_of: AsOf

    def opened(self) -> FeatureVector:
        """The vector."""
        vector: FeatureVector = ray.cloudpickle.loads(self.vector)
        return vector


def build_on_ray(
    vector: FeatureVector,
    labels: Labels,
    *,
    wanted: Sequence[Wanted],
    offline: OfflineStore,
    cuts: dict[str, Cut],
    as_of: AsOf,
    rows_a_part: int = ROWS_A_PART,
) -> TrainingSet:
    """As `training_set.build`, on the Ray that is connected; labels may be a Parquet file or a Ray Dataset too."""
    own = [module for function in vector.functions for module in local_modules(function)]
    with travelling(own):
        pickler: Any = ray.cloudpickle
        packed = pickler.dumps(vector)
    job = ray.put(Job(packed, tuple(wanted), cuts, offline, as_of))
    chunks = list(_chunks(labels, rows_a_part))
    if not chunks:
        raise InputError(f"{vector.name} labels: the dataset holds no block; give one row at least")
    # Every chunk is checked before any event is read.
    spans = _got([_spanned.remote(job, chunk) for chunk in chunks])
    first_us, rows = min((span[0] for span in spans), default=0), sum(span[1] for span in spans)
    joined, sizes = [], []
    for place, item in enumerate(wanted):
        plan = _plan(cuts[item.applied.label], labels=rows, rows_a_part=rows_a_part)
        joined.append(_joined(job, place, chunks=chunks, oldest=oldest_read(item, first_us), plan=plan))
        sizes.append(plan.parts)
    blocks, heights = [], []
    for place, chunk in enumerate(chunks):
        block, height = _assembled.remote(job, chunk, sizes, *(piece for pieces in joined for piece in pieces[place]))
        blocks.append(block)
        heights.append(height)
    if sum(_got(heights)) != rows:
        raise StorageError(
            f"{vector.name}: label rows were lost on the way; report this with `eagleray doctor`'s output"
        )
    pins = {label: cut.version for label, cut in cuts.items()}
    table, names = RayTable(tuple(blocks)), feature_names(vector, wanted)
    return TrainingSet(table, names, pins, vector.label_column, vector.name, vector.label_after)


@dataclass(frozen=True, slots=True)
class Plan:
    """How one set is cut: the number of parts, and the stripes of its table (partition, first offset, end)."""

    parts: int
    stripes: tuple[tuple[int, int, int], ...]


def _plan(cut: Cut, *, labels: int, rows_a_part: int) -> Plan:
    events = sum(last + 1 for last in cut.offsets.values())
    stripes = tuple(
        (partition, first, min(first + rows_a_part, last + 1))
        for partition, last in sorted(cut.offsets.items())
        for first in range(0, last + 1, rows_a_part)
    )
    return Plan(max(1, -(-max(events, labels) // rows_a_part)), stripes)


def _joined(job: Any, place: int, *, chunks: Refs, oldest: tuple[str, int] | None, plan: Plan) -> list[Refs]:
    """For each chunk of labels the pieces of one set's columns, one a part."""
    n = plan.parts
    labels = [_several(_label_parts, n, job, place, number, chunk) for number, chunk in enumerate(chunks)]
    events = [_several(_event_parts, n, job, place, stripe, oldest) for stripe in plan.stripes]
    pieces = []
    for part in range(n):
        asked, known = [refs[part] for refs in labels], [refs[part] for refs in events]
        pieces.append(_several(_join, len(chunks), job, place, len(chunks), *asked, *known))
    return [[refs[number] for refs in pieces] for number in range(len(chunks))]


def _chunks(labels: Labels, rows: int) -> Iterator[Any]:
    if isinstance(labels, pl.DataFrame):
        for first in range(0, max(labels.height, 1), rows):
            yield ray.put(arrow_of(labels[first : first + rows]))
    elif isinstance(labels, Dataset):
        yield from labels.to_arrow_refs()
    else:
        try:
            total = int(pl.scan_parquet(labels).select(pl.len()).collect().item())
        except (OSError, pl.exceptions.PolarsError) as error:
            cause = str(error).splitlines()[0]
            raise InputError(f"cannot read the labels {labels}: {cause}; name a Parquet file") from None
        for first in range(0, max(total, 1), rows):
            yield _sliced.remote(str(labels), first, rows)


@ray.remote
def _sliced(path: str, first: int, rows: int) -> pa.Table:
    return arrow_of(pl.scan_parquet(path).slice(first, rows).collect())


@ray.remote
def _spanned(job: Job, chunk: pa.Table) -> tuple[int, int]:
    vector = job.opened()
    spine = spine_of(vector, frame_of(chunk), job.wanted)
    first = spine[str(vector.event_time)].dt.epoch("us").min()
    return first if isinstance(first, int) else 2**62, spine.height


def _label_parts(parts: int, job: Job, place: int, number: int, chunk: pa.Table) -> list[pa.Table]:
    vector, item = job.opened(), job.wanted[place]
    keys = [entity.name for entity in item.applied.entities]
    spine = spine_of(vector, frame_of(chunk), job.wanted).select(*keys, str(vector.event_time))
    spine = spine.with_columns(pl.lit(number, dtype=pl.Int32).alias(CHUNK), pl.int_range(pl.len()).alias(ROW))
    return _by_key(spine, keys, parts)


def _event_parts(
    parts: int, job: Job, place: int, stripe: tuple[int, int, int], oldest: tuple[str, int] | None
) -> list[pa.Table]:
    item, (partition, first, end) = job.wanted[place], stripe
    inside = (pl.col(PARTITION) == partition) & pl.col(OFFSET).is_between(first, end, closed="left")
    columns = columns_read(item, APPLIED if job.as_of == "knowledge" else None)
    events = job.offline.read(item.applied.full_name, columns, from_us=oldest, where=inside)
    return _by_key(events, [entity.name for entity in item.applied.entities], parts)


def _join(chunks: int, job: Job, place: int, labels: int, *tables: pa.Table) -> list[pa.Table]:
    item, frames = job.wanted[place], [frame_of(table) for table in tables]
    asked = pl.concat(frames[:labels])
    events = pl.concat(frames[labels:]) if len(frames) > labels else None

    def read(_: str, columns: Sequence[str], **narrowed: Any) -> pl.DataFrame:
        if events is None:
            return pl.DataFrame(schema=list(columns))
        return events.filter(*wanted_rows(narrowed.get("from_us"), narrowed.get("where"))).select(columns)

    made = set_columns(item, questions(asked, str(job.opened().event_time), job.as_of), read)
    whole = asked.select(CHUNK, ROW).with_columns(column.alias(name) for name, column in made.items())
    return [arrow_of(whole.filter(pl.col(CHUNK) == number).drop(CHUNK)) for number in range(chunks)]


@ray.remote(num_returns=2)
def _assembled(job: Job, chunk: pa.Table, sizes: list[int], *pieces: pa.Table) -> tuple[pa.Table, int]:
    vector, labels, columns, rest = job.opened(), frame_of(chunk), dict[str, pl.Series](), list(pieces)
    for size in sizes:
        part, rest = pl.concat([frame_of(piece) for piece in rest[:size]]).sort(ROW), rest[size:]
        columns |= {column.name: column for column in part.drop(ROW).get_columns()}
    spine = spine_of(vector, labels, job.wanted)
    _, frame = assembled(vector, labels, spine=spine, columns=columns, wanted=job.wanted)
    return arrow_of(frame), frame.height


def _by_key(frame: pl.DataFrame, keys: Sequence[str], parts: int) -> list[pa.Table]:
    home = frame.select(pl.struct(keys).hash(0) % parts).to_series()
    return [arrow_of(frame.filter(home == part)) for part in range(parts)]


def _several(task: Callable[..., list[Any]], count: int, *args: Any) -> Refs:
    """References of a task's `count` results, so that whoever needs one waits for it alone."""

    def body(*given: Any) -> Any:
        made = task(count, *given)
        return made[0] if count == 1 else made

    body.__name__ = task.__name__
    refs = ray.remote(body).options(num_returns=count).remote(*args)
    return [refs] if count == 1 else list(refs)


def _got(refs: Refs) -> list[Any]:
    try:
        return list(ray.get(refs))
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, EaglerayError):
            raise cause from None
        raise
