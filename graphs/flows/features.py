"""Stages that read features, predict and explain: for all events of a batch at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from ...functions.models.reason_codes import ReasonCodes
from ...runtime.errors import EaglerayError, InputError
from .check import check_features
from .ensemble import Ensemble
from .event import Batch, Event
from .ports import Floats, Predictor, Reader
from .reasons import told

_PLAIN = frozenset((float, int, bool, type(None)))
Work = Callable[[list[Event], Floats | None], Floats]


def jointly(batch: Batch, name: str, work: Work) -> None:
    """Runs `work(events, rows)` for the whole batch, and keeps the rows it returns.

    Where the events make it fail it is done again for halves of them, so that each hears only of its own error; it must
    change nothing outside. A server that is away is not asked again for each half.
    """
    try:
        batch.rows = work(batch.events, batch.rows)
    except Exception as error:  # noqa: BLE001 - whose fault it is shows in the halves
        is_ours = isinstance(error, EaglerayError) and not isinstance(error, InputError)
        if len(batch.events) == 1 or is_ours:
            for event in batch.events:
                batch.fail(event, error, name)
            return
        middle = len(batch.events) // 2
        for half in (slice(None, middle), slice(middle, None)):
            part = Batch(batch.events[half])
            part.rows = None if batch.rows is None else batch.rows[half]
            jointly(part, name, work)
            batch.failed += part.failed
        batch.rows = None


class Enrich:
    """Reads a vector; `defaults` stand where a feature is null."""

    def __init__(self, name: str, reader: Reader, defaults: Mapping[str, float]) -> None:
        self._name = name
        self.reader = reader
        self.fills = [(reader.names.index(feature), value) for feature, value in defaults.items()]

    def __call__(self, batch: Batch) -> None:
        jointly(batch, self._name, self._work)

    def put_instead(self, event: Event, features: Any) -> None:
        """Takes the features from a dict; those it lacks are null."""
        if not isinstance(features, Mapping):
            raise TypeError(
                f"step {self._name!r} falls back to {type(features).__name__}; give features by name, a dict"
            )
        nan = float("nan")
        event.names = self.reader.names
        event.row = np.array([features.get(name, nan) for name in event.names], np.float64)

    def _work(self, events: list[Event], _: Floats | None) -> Floats:
        rows = self.reader.read([event.body for event in events])
        for column, value in self.fills:
            rows[:, column] = np.where(np.isnan(rows[:, column]), value, rows[:, column])
        names = self.reader.names
        for event, row in zip(events, rows, strict=True):
            event.names, event.row = names, row
        return rows


class Predict:
    """Scores the features that were read, or the body's own fields of the model's names."""

    def __init__(self, name: str, model: Predictor) -> None:
        self._name = name
        self._model = model
        self._rows = Rows(model.features)

    def __call__(self, batch: Batch) -> None:
        jointly(batch, self._name, self._work)

    def put_instead(self, event: Event, score: Any) -> None:
        """Takes a number for the score, or one a class."""
        if isinstance(score, list | tuple) and score and all(isinstance(one, int | float) for one in score):
            event.score = [float(one) for one in score]
            return
        if not isinstance(score, int | float):
            raise TypeError(f"step {self._name!r} falls back to {type(score).__name__}; give a score, a number")
        event.score = float(score)

    def _work(self, events: list[Event], rows: Floats | None) -> Floats:
        found = self._rows.of(events, rows)
        model = self._model
        if isinstance(model, Ensemble) and model.tells:
            matrix = model.matrix(found)
            scores = model.combined(matrix)
            for event, said in zip(events, matrix.tolist(), strict=True):
                event.values["scores"] = dict(zip(model.names, said, strict=True))
        else:
            scores = model.predict(found)
        for event, score in zip(events, scores.tolist(), strict=True):
            event.score = score
            event.model = model
        return found


class Explain:
    """Adds each feature's contribution to what was predicted, and the reasons; async where a model may be elsewhere."""

    def __init__(self, name: str, reasons: ReasonCodes | None = None, *, is_async: bool = False) -> None:
        self._name = name
        self._reasons = reasons
        self.is_async = is_async

    def __call__(self, batch: Batch) -> Any:
        if self.is_async:
            return self._run_async(batch)
        jointly(batch, self._name, self._work)
        return None

    async def _run_async(self, batch: Batch) -> None:
        try:
            found = await contributions_async(batch.events)
        except Exception as error:  # noqa: BLE001 - it is the events' own end
            for event in batch.events:
                batch.fail(event, error, self._name)
        else:
            self._put(batch.events, found)

    def _work(self, events: list[Event], _: Floats | None) -> Floats:
        return self._put(events, contributions(events))

    def _put(self, events: list[Event], found: list[Floats]) -> Floats:
        for event, parts in zip(events, found, strict=True):
            event.contributions = parts
            event.values["base_value"] = float(parts[-1])
            event.values["contributions"] = dict(zip(event.names, parts[:-1].tolist(), strict=True))
            event.values.update(told(event, parts, self._reasons))
        return np.stack([event.row for event in events if event.row is not None])


def contributions(events: Sequence[Event]) -> list[Floats]:
    """One row an event, from the model that scored it; raises `InputError` for an event that no model has scored."""
    found: list[Floats] = [np.empty(0)] * len(events)
    for model, places, rows in _by_model(events):
        for place, part in zip(places, model.explain(rows), strict=True):
            found[place] = part
    return found


async def contributions_async(events: Sequence[Event]) -> list[Floats]:
    """As `contributions`; a model that is elsewhere has an `aexplain`."""
    found: list[Floats] = [np.empty(0)] * len(events)
    for model, places, rows in _by_model(events):
        elsewhere = getattr(model, "aexplain", None)
        parts = model.explain(rows) if elsewhere is None else await elsewhere(rows)
        for place, part in zip(places, parts, strict=True):
            found[place] = part
    return found


def _by_model(events: Sequence[Event]) -> Iterator[tuple[Predictor, list[int], Floats]]:
    """Each model with the places of the events it has scored, and their rows."""
    groups: dict[int, list[int]] = {}
    for place, event in enumerate(events):
        if event.model is None or event.row is None:
            raise InputError("nothing was predicted for this request, so there is nothing to explain")
        groups.setdefault(id(event.model), []).append(place)
    for places in groups.values():
        model = events[places[0]].model
        assert model is not None
        yield model, places, np.stack([row for place in places if (row := events[place].row) is not None])


class Rows:
    """The rows that a model of these features is given."""

    def __init__(self, features: tuple[str, ...]) -> None:
        self._features = features
        self._take = itemgetter(*features) if len(features) > 1 else lambda body: tuple(body[name] for name in features)
        self._orders: dict[tuple[str, ...], list[int] | None] = {features: None}

    def of(self, events: list[Event], rows: Floats | None) -> Floats:
        """Events x features in the model's order; each event keeps its own. Raises `InputError`, `ModelMismatch`."""
        names = events[0].names
        if rows is not None:
            order = self._order(names)
            if order is None:
                return rows
            found: Floats = rows[:, order]
        else:
            plain = self._plain(events)
            found = np.array([self._row(event) for event in events] if plain is None else plain, np.float64)
        for event, row in zip(events, found, strict=True):
            event.names, event.row = self._features, row
        return found

    def _plain(self, events: list[Event]) -> list[tuple[Any, ...]] | None:
        """The bodies' own fields where all of them are there and plain numbers (None is NaN); None where one is not."""
        take = self._take
        try:
            found: list[tuple[Any, ...]] = [take(event.body) for event in events if event.row is None]
        except (KeyError, TypeError, IndexError):
            return None
        is_plain = len(found) == len(events) and _PLAIN.issuperset(map(type, chain.from_iterable(found)))
        return found if is_plain else None

    def _row(self, event: Event) -> Any:
        if event.row is None:
            return [_number(event.body, name) for name in self._features]
        order = self._order(event.names)
        return event.row if order is None else event.row[order]

    def _order(self, names: tuple[str, ...]) -> list[int] | None:
        if names not in self._orders:
            self._orders[names] = check_features("predict", names, self._features)
        return self._orders[names]


def _number(body: Mapping[str, Any], name: str) -> float:
    value = body.get(name, body)
    if value is None:
        return float("nan")
    if isinstance(value, bool | int | float):
        return float(value)
    if value is body:
        raise InputError(f"the request lacks {name!r} (a number)")
    raise InputError(f"{name!r} must be a number, got {value!r}")
