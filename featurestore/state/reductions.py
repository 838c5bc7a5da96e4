"""How lists of records are merged: each kind of state is reduced to what no later merge can need again.

All of them depend on the set of records alone, never on the order in which they came or were merged.
"""

from __future__ import annotations

import numpy as np

from ..definitions.layout import Field
from . import hyperloglog
from .records import Flat, Int64s, Records, chunks, expanded, of_groups


def merge_runs(field: Field, records: Records, starts: Int64s) -> Records:
    """Merges each run of lists that begins at `starts` (ascending, runs not empty) to one."""
    if not len(starts):
        return records
    runs = np.zeros(len(records), dtype=np.int64)
    runs[starts[1:]] = 1
    groups = np.repeat(np.cumsum(runs), records.counts)
    return of_groups(*reduced(field, groups, records.columns), len(starts))


def over_ranges(field: Field, records: Records, starts: Int64s, ends: Int64s) -> Records:
    """Merges the lists of [start, end) for each pair, ranges may overlap; lists stand in the order (ts, offset)."""
    bounds = records.bounds
    first, last = bounds[starts], bounds[ends]
    # Of records in order the first or the newest few are found without a look at the others.
    if field.kind == "first":
        last = np.minimum(last, first + 1)
    elif field.kind == "recent":
        first = np.maximum(first, last - field.size)
    if field.kind in ("first", "recent"):
        places = expanded(first, last)
        return Records(np.cumsum(last - first), tuple(column[places] for column in records.columns))
    counts, parts = [], []
    for chunk in chunks(first, last):
        places = expanded(first[chunk], last[chunk])
        groups = np.repeat(np.arange(chunk.stop - chunk.start), (last - first)[chunk])
        made = of_groups(*reduced(field, groups, tuple(c[places] for c in records.columns)), chunk.stop - chunk.start)
        counts.append(made.counts)
        parts.append(made.columns)
    if not parts:
        return Records(np.zeros(0, dtype=np.int64), tuple(column[:0] for column in records.columns))
    columns = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return Records(np.cumsum(np.concatenate(counts)), columns)


def reduced(field: Field, groups: Int64s, columns: Flat) -> tuple[Int64s, Flat]:
    """The records of each group (ascending) reduced, in the canonical order of their kind."""
    if not len(groups):
        return groups, columns
    if field.kind == "distinct":
        return hyperloglog.reduced(groups, columns[0])
    if field.kind == "bins":
        return _counted(groups, columns)
    if field.kind == "top":
        order = np.lexsort((columns[0], groups))
        kept = order[_from_end(groups[order]) < field.size]
    else:
        order = np.lexsort((columns[1], columns[0], groups))
        place = _from_end(groups[order]) if field.kind == "recent" else _from_start(groups[order])
        kept = order[place < field.size] if field.kind == "recent" else order[place == 0]
    return groups[kept], tuple(column[kept] for column in columns)


def _counted(groups: Int64s, columns: Flat) -> tuple[Int64s, Flat]:
    bins, counts = columns
    order = np.lexsort((bins, groups))
    groups, bins = groups[order], bins[order]
    starts = np.flatnonzero(np.append(True, (groups[1:] != groups[:-1]) | (bins[1:] != bins[:-1])))
    return groups[starts], (bins[starts], np.add.reduceat(counts[order], starts))


def _from_start(groups: Int64s) -> Int64s:
    """The place of each record within its group."""
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    lengths = np.diff(np.append(starts, len(groups)))
    return np.arange(len(groups)) - np.repeat(starts, lengths)


def _from_end(groups: Int64s) -> Int64s:
    return _from_start(groups[::-1])[::-1]
