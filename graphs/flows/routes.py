"""Stages with ways inside: one of them for each event (branch, router), or all of them (parallel)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...runtime.errors import InputError, did_you_mean
from . import paths
from .chain import Chain
from .choices import Named, Weighted
from .event import Batch, Event
from .step import Step
from .subjects import takes_event

THEN, OTHERWISE = "then", "otherwise"
Choose = Callable[[Event], str]
Chains = Mapping[str, Chain]


class OneOf:
    """Sends each event the way that `choose` names; the name is found in `event.values` under the step's own."""

    def __init__(self, step: Step, chains: Chains, choose: Choose) -> None:
        self._name = step.name
        self._chains = chains
        self.choose = choose
        self.is_async = any(chain.is_async for chain in chains.values())

    def __call__(self, batch: Batch) -> Any:
        groups = self._groups(batch)
        if self.is_async:
            return self._run_async(batch, groups)
        for chain, inner in groups:
            chain.run(inner)
        _join(batch, [inner for _, inner in groups])
        return None

    def close(self) -> None:
        """Closes what the ways hold."""
        for chain in self._chains.values():
            chain.close()

    async def _run_async(self, batch: Batch, groups: list[tuple[Chain, Batch]]) -> None:
        await asyncio.gather(*(_run(chain, inner) for chain, inner in groups))
        _join(batch, [inner for _, inner in groups])

    def _groups(self, batch: Batch) -> list[tuple[Chain, Batch]]:
        groups: dict[str, list[Event]] = {}
        for event in batch.events:
            try:
                way = self.choose(event)
            except Exception as error:  # noqa: BLE001 - it is the event's own end
                batch.fail(event, error, self._name)
                continue
            event.values[self._name] = way
            groups.setdefault(way, []).append(event)
        whole = batch.rows if len(groups) == 1 and not batch.failed else None
        made = []
        for way, events in groups.items():
            inner = Batch(events)
            inner.rows = whole
            made.append((self._chains[way], inner))
        return made


class AllOf:
    """Sends a copy of each event every way and joins what comes back."""

    def __init__(self, step: Step, chains: Chains) -> None:
        self._name = step.name
        self._chains = chains
        self._join: Callable[[dict[str, Any]], Any] | None = step.subject
        self.is_async = any(chain.is_async for chain in chains.values())

    def __call__(self, batch: Batch) -> Any:
        twins = {way: [event.fork() for event in batch.events] for way in self._chains}
        inners = {way: Batch(list(events)) for way, events in twins.items()}
        for inner in inners.values():
            inner.rows = batch.rows
        if self.is_async:
            return self._run_async(batch, twins, inners)
        for way, chain in self._chains.items():
            chain.run(inners[way])
        self._together(batch, twins)
        return None

    def close(self) -> None:
        """Closes what the ways hold."""
        for chain in self._chains.values():
            chain.close()

    async def _run_async(self, batch: Batch, twins: dict[str, list[Event]], inners: dict[str, Batch]) -> None:
        await asyncio.gather(*(_run(chain, inners[way]) for way, chain in self._chains.items()))
        self._together(batch, twins)

    def _together(self, batch: Batch, twins: dict[str, list[Event]]) -> None:
        batch.rows = None
        for place, event in enumerate(batch.events):
            found = {way: events[place] for way, events in twins.items()}
            failed = next((one for one in found.values() if one.error is not None), None)
            if failed is not None and failed.error is not None:
                batch.fail(event, failed.error, failed.step)
                continue
            try:
                self._put(event, {way: one for way, one in found.items() if not one.is_dropped})
            except Exception as error:  # noqa: BLE001 - it is the event's own end
                batch.fail(event, error, self._name)

    def _put(self, event: Event, found: dict[str, Event]) -> None:
        for one in found.values():
            event.values |= one.values
        if self._join is None:
            event.body = _merged(event, found, self._name)
            scored = [one for one in found.values() if one.score is not event.score]
            for one in scored[:1]:
                event.score, event.model, event.row, event.names = one.score, one.model, one.row, one.names
                event.contributions = one.contributions
            return
        results = {
            way: one.body if one.score is None else {**one.body, "score": one.score} for way, one in found.items()
        }
        joined = self._join(results)
        if not isinstance(joined, dict):
            raise TypeError(f"the join of {self._name!r} returned {type(joined).__name__}; return the body as a dict")
        event.body = joined
        score = joined.get("score")
        if isinstance(score, int | float):
            event.score = float(score)


async def _run(chain: Chain, batch: Batch) -> None:
    if chain.is_async:
        await chain.run_async(batch)
    else:
        chain.run(batch)


def _join(batch: Batch, inners: list[Batch]) -> None:
    for inner in inners:
        batch.adopt(inner)
    only = inners[0] if len(inners) == 1 and not batch.failed else None
    batch.events = [event for inner in inners for event in inner.events]
    batch.rows = None if only is None else only.rows


def _merged(event: Event, found: Mapping[str, Event], name: str) -> dict[str, Any]:
    """The body with what each way has changed in it; two ways may not write the same field differently."""
    merged = dict(event.body)
    written: dict[str, str] = {}
    for way, one in found.items():
        for field, value in one.body.items():
            if field in event.body and event.body[field] is value:
                continue
            if field in written and merged[field] != value:
                raise InputError(
                    f"{written[field]!r} and {way!r} of {name!r} both write {field!r}: give the step a join=, "
                    "or let them write to other fields"
                )
            merged[field] = value
            written[field] = way
    return merged


def by_predicate(predicate: Callable[..., Any]) -> Choose:
    """`then` where it says yes, `otherwise` where it says no."""
    wants_event = takes_event(predicate)
    return lambda event: THEN if predicate(event if wants_event else event.body) else OTHERWISE


def by_name(step: Step, rule: Named) -> Choose:
    """The way that a field of the body, or a function, names."""
    default = rule.default
    known = tuple(way for way, _ in step.routes)
    named = _reads(rule.by)

    def choose(event: Event) -> str:
        way = named(event)
        if way in known:
            return str(way)
        if default is not None:
            return default
        raise InputError(f"{step.name} knows no way {way!r}{did_you_mean(str(way), known)}")

    return choose


def _reads(by: str | Callable[..., Any]) -> Callable[[Event], Any]:
    if isinstance(by, str):
        path = tuple(by.split("."))
        return lambda event: paths.get(event.body, path)
    wants_event = takes_event(by)
    return lambda event: by(event if wants_event else event.body)


class ByWeight:
    """Ways by their shares; an event's id (or the field `by`) decides, so that the same one goes the same way."""

    def __init__(self, rule: Weighted) -> None:
        self._path = tuple(rule.by.split(".")) if rule.by else ()
        self.change(dict(rule.weights))

    def change(self, weights: Mapping[str, float]) -> None:
        """Other shares from the next event on."""
        self._bounds = tuple(_bounds(weights))

    def __call__(self, event: Event) -> str:
        key = str(paths.get(event.body, self._path)) if self._path else event.id
        # Not crc32 alone: ids that differ in their last digit would fall close together.
        spot = (zlib.crc32(key.encode()) * 2_654_435_761 & 0xFFFF_FFFF) / 2**32
        return next(way for way, end in self._bounds if spot < end)


def _bounds(weights: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    total = sum(weights.values())
    end = 0.0
    ways = [way for way, weight in weights.items() if weight > 0]
    for way in ways[:-1]:
        end += weights[way] / total
        yield way, end
    yield ways[-1], 1.0
