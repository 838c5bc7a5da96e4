"""`.map`'s order, bounds and batch sizes, on batches that run in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice

import pytest

from eagleray.functions.calls import AHEAD, MAX_ITEMS, TARGET_BYTES, map_in_order, next_size
from eagleray.runtime.task_body import Outcome, call_batch


class MemoryBatches:
    """Runs a batch when its result is asked for, and says that each item took `item_s`."""

    slots = 2

    def __init__(self, fn: Callable[[int], int], item_s: float) -> None:
        self.fn, self.item_s = fn, item_s
        self.open = self.most_open = 0
        self.sizes: list[int] = []
        self.cancelled: list[list[object]] = []

    def submit(self, items: list[object]) -> list[object]:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.sizes.append(len(items))
        return items

    def result(self, ticket: list[object]) -> Outcome[int]:
        self.open -= 1
        done = call_batch(self.fn, ticket, None)
        return Outcome(done.values, self.item_s * len(ticket), 10, done.failure)

    def cancel(self, tickets: list[list[object]]) -> None:
        self.cancelled = tickets


def triple(item: int) -> int:
    return 3 * item


def test_results_keep_the_items_order() -> None:
    batches = MemoryBatches(triple, item_s=1e-6)
    assert list(map_in_order(batches, range(20_000))) == [3 * item for item in range(20_000)]
    assert max(batches.sizes) == MAX_ITEMS
    assert batches.most_open <= AHEAD * batches.slots


def test_long_items_travel_alone() -> None:
    batches = MemoryBatches(triple, item_s=1.0)
    assert list(map_in_order(batches, range(50))) == [3 * item for item in range(50)]
    assert set(batches.sizes) == {1}


def test_an_endless_source_is_read_only_as_far_as_needed() -> None:
    batches = MemoryBatches(triple, item_s=1.0)
    read: list[int] = []

    def source() -> Iterator[int]:
        for item in count():
            read.append(item)
            yield item

    results = map_in_order(batches, source())
    assert list(islice(results, 3)) == [0, 3, 6]
    assert len(read) <= 3 + AHEAD * batches.slots
    results.close()  # type: ignore[attr-defined]
    assert batches.cancelled


def test_an_error_comes_after_the_results_before_it() -> None:
    def picky(item: int) -> int:
        if item == 30:
            raise KeyError("thirty")
        return item

    batches = MemoryBatches(picky, item_s=1e-6)
    seen: list[int] = []
    with pytest.raises(KeyError, match="thirty") as caught:
        seen.extend(map_in_order(batches, range(10_000)))
    assert seen == list(range(30))
    assert batches.cancelled
    assert str(caught.value.__cause__).splitlines()[2].endswith("in picky")


def test_no_items_no_batches() -> None:
    batches = MemoryBatches(triple, item_s=1.0)
    assert list(map_in_order(batches, [])) == []
    assert batches.sizes == []


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
