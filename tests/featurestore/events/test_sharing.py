"""Who has which partition: balanced, agreed by all, and moving no more than it must."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from eagleray.featurestore.events.sharing import shared

items = st.lists(st.integers(0, 40).map(str), unique=True, max_size=20)
names = st.sampled_from(["a", "b", "c", "d", "e"])


@given(items, st.data())
def test_balanced_sticky_and_leaving_others_alone(items: list[str], data: st.DataObject) -> None:
    members = data.draw(st.sets(names, min_size=1))
    holders = {item: data.draw(st.one_of(st.none(), names, st.just("ingestion"))) for item in items}
    wanted = shared(holders, members)
    assert wanted == shared(dict(reversed(holders.items())), sorted(members))
    assert wanted.keys() == holders.keys()
    for item, holder in holders.items():
        if holder is not None and holder not in members:
            assert wanted[item] == holder
    free = {item: owner for item, owner in wanted.items() if holders[item] is None or holders[item] in members}
    assert set(free.values()) <= members
    counts = Counter(dict.fromkeys(members, 0)) + Counter(free.values())
    sizes = [counts[member] for member in members]
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    # Nobody gives more than what it has above the largest share.
    before = Counter(holder for holder in holders.values() if holder in members)
    kept = Counter(owner for item, owner in free.items() if holders[item] == owner)
    for member in members:
        assert kept[member] >= min(before[member], min(sizes))


def test_nothing_moves_once_it_is_balanced() -> None:
    holders: dict[str, str | None] = {"0": "b", "1": "a", "2": "b", "3": "b", "4": "a"}
    assert shared(holders, {"a", "b"}) == holders


def test_a_newcomer_gets_its_share_and_one_beyond_the_items_waits() -> None:
    wanted = shared({str(item): "a" for item in range(4)}, {"a", "b"})
    assert Counter(wanted.values()) == {"a": 2, "b": 2}
    assert shared({"0": "a"}, {"a", "b"}) == {"0": "a"}
    assert shared({"0": None, "1": "gone"}, set()) == {"0": None, "1": "gone"}
