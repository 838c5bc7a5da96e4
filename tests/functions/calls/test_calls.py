"""`.map`'s order, bounds and batch sizes, on batches that run in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice

import pytest

from eagleray.functions.calls.calls import AHEAD, MAX_ITEMS, TARGET_BYTES, map_items, map_streams, next_size
from eagleray.runtime.call_options import CallOptions
from eagleray.runtime.task_body import BatchMode, Body, Outcome


class MemoryBatches:
    """Runs a batch when its result is asked for, and says that each item took `item_s`."""

    slots = 2

    def __init__(self, fn: Callable[[int], int], item_s: float, *, keeps_going: bool = False) -> None:
        self.body = Body(fn, CallOptions("fn"))
        self.item_s, self.mode = item_s, BatchMode(keeps_going=keeps_going)
        self.open = self.most_open = 0
        self.sizes: list[int] = []
        self.cancelled: list[tuple[object, ...]] = []
        self.closed = False

    def submit(self, items: list[object]) -> tuple[object, ...]:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.sizes.append(len(items))
        return tuple(items)

    def any_of(self, tickets: Sequence[tuple[object, ...]]) -> tuple[object, ...]:
        return tickets[-1]

    def result(self, ticket: tuple[object, ...]) -> Outcome[int]:
        self.open -= 1
        done = self.body.batch(ticket, {}, self.mode)
        return Outcome(done.values, self.item_s * len(ticket), 10)

    def cancel(self, tickets: list[tuple[object, ...]]) -> None:
        self.cancelled = tickets

    def close(self) -> None:
        self.closed = True


def triple(item: int) -> int:
    return 3 * item


def test_results_keep_the_items_order() -> None:
    batches = MemoryBatches(triple, item_s=1e-6)
    assert list(map_items(batches, range(20_000))) == [3 * item for item in range(20_000)]
    assert max(batches.sizes) == MAX_ITEMS
    assert batches.most_open <= AHEAD * batches.slots


def test_long_items_travel_alone() -> None:
    batches = MemoryBatches(triple, item_s=1.0)
    assert list(map_items(batches, range(50))) == [3 * item for item in range(50)]
    assert set(batches.sizes) == {1}


def test_an_endless_source_is_read_only_as_far_as_needed() -> None:
    batches = MemoryBatches(triple, item_s=1.0)
    read: list[int] = []

    def source() -> Iterator[int]:
        for item in count():
            read.append(item)
            yield item

    results = map_items(batches, source())
    assert list(islice(results, 3)) == [0, 3, 6]
    assert len(read) <= 3 + AHEAD * batches.slots
    results.close()  # type: ignore[attr-defined]
    assert batches.cancelled
    assert batches.closed


def test_an_error_comes_after_the_results_before_it() -> None:
    def picky(item: int) -> int:
        if item == 30:
            raise KeyError("thirty")
        return item

    batches = MemoryBatches(picky, item_s=1e-6)
    seen: list[int] = []
    with pytest.raises(KeyError, match="thirty") as caught:
        seen.extend(map_items(batches, range(10_000)))
    assert seen == list(range(30))
    assert batches.cancelled
    assert str(caught.value.__cause__).splitlines()[2].endswith("in picky")


def test_no_items_no_batches() -> None:
    batches = MemoryBatches(triple, item_s=1.0)
    assert list(map_items(batches, [])) == []
    assert batches.sizes == []
    assert batches.closed


def test_as_they_come() -> None:
    batches = MemoryBatches(triple, item_s=1.0)
    found = list(map_items(batches, range(20), ordered=False))
    assert sorted(found) == [3 * item for item in range(20)]
    assert found[0] == 3 * (AHEAD * batches.slots - 1)  # the last one started was the first to be done
    batches = MemoryBatches(triple, item_s=1.0)
    assert len(list(map_items(batches, range(20), at_once=1))) == 20
    assert batches.most_open == 1


def test_an_error_in_its_item_s_place() -> None:
    def picky(item: int) -> int:
        if item % 10 == 3:
            raise KeyError(item)
        return item

    batches = MemoryBatches(picky, item_s=1e-6, keeps_going=True)
    found = list(map_items(batches, range(500), return_exceptions=True))
    assert len(found) == 500
    wrong = [place for place, value in enumerate(found) if isinstance(value, KeyError)]
    assert wrong == [item for item in range(500) if item % 10 == 3]
    assert not batches.cancelled


class MemoryStreams:
    """Generators that run when they are read."""

    slots = 2

    def __init__(self) -> None:
        self.started: list[object] = []
        self.cancelled: list[list[int]] = []

    def submit(self, item: object) -> list[int]:
        self.started.append(item)
        return [int(str(item)), -int(str(item))]

    def values(self, ticket: list[int]) -> Iterator[int]:
        yield from ticket

    def cancel(self, tickets: list[list[int]]) -> None:
        self.cancelled = tickets


def test_streams_are_read_item_by_item() -> None:
    streams = MemoryStreams()
    found = map_streams(streams, count(1))
    assert list(islice(found, 5)) == [1, -1, 2, -2, 3]
    assert streams.started == [1, 2, 3, 4]
    found.close()  # type: ignore[attr-defined]
    assert streams.cancelled == [[3, -3], [4, -4]]
    assert list(map_streams(MemoryStreams(), [])) == []


@pytest.mark.parametrize(
    ("size", "spent_s", "item_bytes", "expected"),
    [
        (1, 1e-7, 1, 8),  # growth is bounded: one fast item proves little
        (8, 8.0, 1, 1),  # a second each: alone
        (10, 0.1, 1, 10),  # 100 ms: right
        (100, 0.05, 1, 200),
        (4096, 1e-6, 1, MAX_ITEMS),
        (8, 1e-6, TARGET_BYTES // 2, 2),  # large items: memory decides
    ],
)
def test_next_size(size: int, spent_s: float, item_bytes: int, expected: int) -> None:
    outcome: Outcome[int] = Outcome(list(range(size)), spent_s, item_bytes)
    assert next_size(size, outcome) == expected
