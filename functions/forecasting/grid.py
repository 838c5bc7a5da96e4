"""The times of series as places on a grid: how far they lie apart, and which time stands at a place."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from ...runtime.errors import DefinitionError, InputError
from ...runtime.units import duration_us

Places = npt.NDArray[np.int64]
Unit = Literal["number", "us", "month", "month_end"]
_DAY_US = 86_400_000_000
_SHORTEST_MONTH_US = 28 * _DAY_US
_MONTHS = {"mo": 1, "q": 3, "y": 12}
# After how many steps series of such a step often repeat: the hours of a day and a week, the days of a week.
_SEASONS = {_DAY_US // 24: (24, 168), _DAY_US: (7,), 7 * _DAY_US: (52,)}


@dataclass(frozen=True, slots=True)
class Grid:
    """Times that lie `step` units apart, counted from `first`; months have `rest_us` behind their first moment."""

    unit: Unit
    first: int
    step: int
    rest_us: int = 0

    @classmethod
    def of(cls, times: pl.Series, series: pl.Series, *, every: str | None = None) -> Self:
        """The grid of these times, sorted by `series` and time: the step is the gap that is most common, unless
        `every` ("1d", "1mo") names it.

        Raises `InputError` for times that are on no grid, `DefinitionError` for an `every` that cannot be read.
        """
        unit = _unit(times, series, every)
        numbers = _numbers(times, unit)
        gaps = numbers[1:] - numbers[:-1]
        gaps = gaps[(series[1:] == series[:-1]).to_numpy() & (gaps > 0)]
        if every is not None:
            step = _named_step(every, unit)
        elif len(gaps):
            values, counts = np.unique(gaps, return_counts=True)
            step = int(values[counts.argmax()])
        else:
            step = 1
        rest_us = int(_within_month(times[:1])[0]) if unit == "month" else 0
        made = cls(unit, int(numbers.min()), step, rest_us)
        made.places(times)
        return made

    def places(self, times: pl.Series) -> Places:
        """Each time's place; raises `InputError` naming a time that is on none."""
        places, rest = np.divmod(_numbers(times, self.unit) - self.first, self.step)
        wrong = rest != 0
        if self.unit == "month":
            wrong |= _within_month(times) != self.rest_us
        if wrong.any():
            odd = times[int(np.flatnonzero(wrong)[0])]
            raise InputError(
                f"the time column {times.name!r} is irregular: {odd} is on no step of {self}; bring the series to "
                "equal steps first, or name the step: Horizon(..., every='1d')"
            )
        found: Places = places
        return found

    def times(self, places: Places, like: pl.Series) -> pl.Series:
        """The times at these places, of the type and by the name of `like`."""
        numbers = pl.Series(like.name, self.first + places * self.step, dtype=pl.Int64)
        if self.unit == "number":
            return numbers.cast(like.dtype)
        if self.unit == "us":
            made = numbers.cast(pl.Datetime("us"))
        else:
            begin = pl.datetime(pl.lit(numbers) // 12, pl.lit(numbers) % 12 + 1, 1, time_unit="us")
            rest = begin.dt.month_end() if self.unit == "month_end" else begin + pl.duration(microseconds=self.rest_us)
            made = pl.select(rest.alias(like.name)).to_series()
        zone = getattr(like.dtype, "time_zone", None)
        return (made if zone is None else made.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)).cast(like.dtype)

    @property
    def seasons(self) -> tuple[int, ...]:
        """After how many steps such series often repeat."""
        if self.unit == "number":
            return ()
        if self.unit != "us":
            return (12 // self.step,) if self.step in (1, 2, 3, 4, 6) else ()
        whole = self.step < _DAY_US and _DAY_US % self.step == 0
        return _SEASONS.get(self.step, (_DAY_US // self.step,) if whole else ())

    def calendar(self, times: pl.Series) -> list[pl.Series]:
        """What a calendar says of the times, as far as it differs from one step to the next."""
        if self.unit == "number":
            return []
        names = ["month"] if self.unit != "us" or self.step > _DAY_US else ["month", "day", "weekday"]
        names += ["hour"] if self.unit == "us" and self.step < _DAY_US else []
        return [getattr(times.dt, name)().alias(name) for name in names]

    def to_dict(self) -> dict[str, str | int]:
        """By name; `Grid(**it)` reads it back."""
        return asdict(self)

    def __str__(self) -> str:
        if self.unit == "number":
            return f"{self.step}"
        return f"{self.step / 1e6:g} s" if self.unit == "us" else f"{self.step} months"


def _unit(times: pl.Series, series: pl.Series, every: str | None) -> Unit:
    if times.dtype.is_integer():
        if every is not None and not every.isdigit():
            raise InputError(f"every={every!r} is for times; the time column {times.name!r} holds whole numbers")
        return "number"
    if not (times.dtype == pl.Date or isinstance(times.dtype, pl.Datetime)):
        cure = f", e.g. with pl.col({times.name!r}).str.to_datetime()" if times.dtype == pl.String else ""
        raise InputError(f"the time column {times.name!r} is {times.dtype}: give dates, times or whole numbers{cure}")
    if every is not None:
        by_months = re.fullmatch(r"\d+(mo|q|y)", every) is not None
    else:
        gaps = np.diff(_micros(times))[(series[1:] == series[:-1]).to_numpy()]
        by_months = len(gaps) > 0 and int(gaps.min()) >= _SHORTEST_MONTH_US and _names_months(times)
    if not by_months:
        return "us"
    return "month_end" if _are_ends(times) else "month"


def _named_step(every: str, unit: Unit) -> int:
    if unit == "number":
        return int(every)
    if unit == "us":
        return duration_us(every)
    count, name = re.fullmatch(r"(\d+)(\w+)", every).groups()  # type: ignore[union-attr]
    if int(count) == 0:
        raise DefinitionError(f"cannot read every={every!r}: write a number and a unit, like '1mo'")
    return int(count) * _MONTHS[name]


def _numbers(times: pl.Series, unit: Unit) -> Places:
    if unit == "number":
        return times.cast(pl.Int64).to_numpy()
    if unit == "us":
        return _micros(times)
    return (times.dt.year().cast(pl.Int64) * 12 + times.dt.month().cast(pl.Int64) - 1).to_numpy()


def _micros(times: pl.Series) -> Places:
    return times.cast(pl.Datetime("us", getattr(times.dtype, "time_zone", None))).dt.epoch("us").to_numpy()


def _within_month(times: pl.Series) -> Places:
    """Microseconds since the month began."""
    begin = times.dt.month_start()
    begin = begin if times.dtype == pl.Date else begin.dt.truncate("1d")
    return _micros(times) - _micros(begin)


def _are_ends(times: pl.Series) -> bool:
    return bool((times == times.dt.month_end()).all()) and times.dt.day().n_unique() > 1


def _names_months(times: pl.Series) -> bool:
    return _are_ends(times) or len(np.unique(_within_month(times))) == 1
