"""Distinct values: exact while a set is small, HyperLogLog beyond (Flajolet et al. 2007, 1,024 registers, 3 % error).

Both are made of one fixed 63-bit hash a value. A record is a hash (negative: its top bit is set) or a register
(`index << 6 | rank`). Which of the two a set is kept as depends on its size alone, so the same set gives the same
records whatever the order in which its parts were merged.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
EXACT = 128  # distinct values; a kilobyte, as much as the registers take
_INDEX_BITS, _RANK_BITS = 10, 6
_REGISTERS = 1 << _INDEX_BITS
_RANK_MOST = 50  # so that the sum of all 2**-rank is exact in an int64
_REST_BITS = 63 - _INDEX_BITS
_BIAS = 0.7213 / (1 + 1.079 / _REGISTERS)
_SIGN = np.int64(-(2**63))


def hashes(values: pl.Series) -> Int64s:
    """One negative number a value (no nulls, no NaN, no -0.0); for ever the same, on every machine."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    if values.dtype == pl.String:
        distinct = values.unique()
        made = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in distinct.to_list()]
        codes = pl.Series(np.frombuffer(b"".join(made), dtype="<i8"), dtype=pl.Int64)
        return values.replace_strict(distinct, codes, return_dtype=pl.Int64).to_numpy() | _SIGN
    bits = values.to_numpy().view(np.uint64) if values.dtype == pl.Float64 else values.cast(pl.Int64).to_numpy()
    return _mixed(bits.view(np.uint64)).view(np.int64) | _SIGN


def reduced(groups: Int64s, records: Int64s) -> tuple[Int64s, tuple[Int64s]]:
    """The union of each group's records; groups ascend."""
    groups, records = _unique(groups, records)
    kinds = np.bincount(groups, minlength=int(groups[-1]) + 1)
    registers = np.zeros(len(kinds), dtype=bool)
    registers[groups[records >= 0]] = True
    large = (registers | (kinds > EXACT))[groups]
    if not large.any():
        return groups, (records,)
    records = np.where(large & (records < 0), _registers(records), records)
    order = np.lexsort((records, groups))
    groups, records = groups[order], records[order]
    # Of one register the highest rank counts, and equal records are one.
    index = np.where(records < 0, records, records >> _RANK_BITS)
    kept = np.append((groups[1:] != groups[:-1]) | (index[1:] != index[:-1]), True)
    return groups[kept], (records[kept],)


def counts(ends: Int64s, records: Int64s) -> Int64s:
    """How many distinct values each list stands for."""
    sizes = np.diff(ends, prepend=0)
    large = np.flatnonzero((sizes > 0) & (records[np.maximum(ends - 1, 0)] >= 0)) if len(records) else ()
    made = sizes.copy()
    for place in large:
        ranks = records[ends[place] - sizes[place] : ends[place]] & ((1 << _RANK_BITS) - 1)
        made[place] = _estimate(ranks)
    return made


def _estimate(ranks: Int64s) -> int:
    untouched = _REGISTERS - len(ranks)
    one = 1 << _RANK_MOST
    total = int((one >> ranks).sum()) + untouched * one
    estimate = _BIAS * _REGISTERS * _REGISTERS * one / total
    if estimate <= 2.5 * _REGISTERS and untouched:
        estimate = _REGISTERS * math.log(_REGISTERS / untouched)
    return round(estimate)


def _registers(codes: Int64s) -> Int64s:
    index = codes & (_REGISTERS - 1)
    rest = (codes >> _INDEX_BITS) & ((1 << _REST_BITS) - 1)
    length = np.frexp(rest.astype(np.float64))[1].astype(np.int64)  # exact: rest has 53 bits
    rank = np.minimum(_REST_BITS - length + 1, _RANK_MOST)
    made: Int64s = (index << _RANK_BITS) | rank
    return made


def _unique(groups: Int64s, records: Int64s) -> tuple[Int64s, Int64s]:
    order = np.lexsort((records, groups))
    groups, records = groups[order], records[order]
    kept = np.append(True, (groups[1:] != groups[:-1]) | (records[1:] != records[:-1]))
    return groups[kept], records[kept]


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele et al. 2014): every bit of the input moves every bit of the output."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
