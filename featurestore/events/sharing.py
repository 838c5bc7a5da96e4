"""Who takes and who gives which item, given who is there and who holds what: decided alike by every member."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def shared(holders: Mapping[str, str | None], members: Collection[str]) -> dict[str, str | None]:
    """Each item and who should have it: members' counts differ by at most one, and as few items as can be move.

    What somebody outside holds (a member thought dead whose lease still runs, a batch ingestion) stays there.
    The answer depends on the arguments alone, so members who see the same agree without a word.
    """
    wanted = {item: holder for item, holder in holders.items() if holder is not None and holder not in members}
    if not members:
        return {item: wanted.get(item) for item in holders}
    open_items = sorted(item for item in holders if item not in wanted)
    owned = {member: [item for item in open_items if holders[item] == member] for member in sorted(members)}
    base, extra = divmod(len(open_items), len(owned))
    # The larger shares go to those who hold most already.
    by_size = sorted(owned, key=lambda member: (-len(owned[member]), member))
    quota = {member: base + (place < extra) for place, member in enumerate(by_size)}
    kept = {item: member for member, items in owned.items() for item in items[: quota[member]]}
    rest = [item for item in open_items if item not in kept]
    places = [member for member in owned for _ in range(quota[member] - min(quota[member], len(owned[member])))]
    return {**dict.fromkeys(holders), **wanted, **kept, **dict(zip(rest, places, strict=True))}
