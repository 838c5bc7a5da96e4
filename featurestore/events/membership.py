"""Membership: one worker's place in the group that shares a feature set's partitions, kept alive by a heart."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...runtime.errors import EaglerayError
from .leases import Lease, Leases, Member, Roll, lease_name
from .sharing import shared

TTL_MS = 5_000
BEATS_A_TTL = 10
STUCK_TTLS = 24  # a loop that has not come round for so long has hung: its leases lapse, others take over


@dataclass(frozen=True, slots=True)
class Change:
    """What to do now: items to give back, items to claim, and items that were lost to another."""

    give: tuple[str, ...] = ()
    take: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Membership:
    """A member of `group`, whose `items` all members share; `note` is what it tells the others at each beat.

    With `joins` False it is no member: it only keeps what it has taken (`take_all`) until `leave`.
    """

    def __init__(
        self,
        leases: Leases,
        group: str,
        items: Sequence[str],
        *,
        owner: str = "",
        ttl_ms: int = TTL_MS,
        joins: bool = True,
        note: Callable[[], str] = lambda: "",
    ) -> None:
        self.owner = owner or uuid.uuid4().hex
        self._leases, self._group, self._note = leases, group, note
        self._ttl_ms, self._joins = ttl_ms, joins
        self._names = {item: lease_name(group, item) for item in items}
        self._held: dict[str, Lease] = {}
        self._lost: set[str] = set()
        self._roll = Roll()
        self._round_at = time.monotonic()
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self._wire = threading.Lock()  # a beat that was on its way must not renew what is being released
        self.beat()
        self._heart = threading.Thread(target=self._run, name=f"heart of {group}", daemon=True)
        self._heart.start()

    @property
    def held(self) -> dict[str, Lease]:
        """The leases by item."""
        with self._lock:
            return dict(self._held)

    @property
    def members(self) -> int:
        """How many share the items, by the last beat."""
        return len(self._roll.members)

    def beat(self) -> None:
        """Tells the server that it lives, and learns who else does."""
        with self._wire:
            held = self.held
            epochs = {lease.name: lease.epoch for lease in held.values()}
            me = Member(self.owner, self._ttl_ms, epochs, self._note(), self._joins)
            self._roll = self._leases.beat(self._group, list(self._names.values()), me=me)
            # What was its own and could not be renewed has been taken in between.
            self._lost = {item for item in held if self._roll.holders[self._names[item]] != self.owner}

    def change(self) -> Change:
        """What the last beat asks for; the loop that works calls it every round, or its leases lapse."""
        self._round_at = time.monotonic()
        roll, held = self._roll, self.held
        holders = {item: roll.holders.get(name) for item, name in self._names.items()}
        lost = tuple(item for item in held if item in self._lost)
        if not self._joins:
            return Change(lost=lost)
        # Between two beats this member may have claimed or released what the roll does not know yet.
        known = holders | {item: self.owner for item in held if item not in lost}
        wanted = shared(known, {*roll.members, self.owner})
        give = tuple(item for item in held if item not in lost and wanted[item] != self.owner)
        take = tuple(item for item, owner in wanted.items() if owner == self.owner and known[item] is None)
        return Change(give, take, lost)

    def is_settled(self) -> bool:
        """True when each item is its own or a living member's: nothing is left that nobody looks after."""
        self.beat()
        roll, held = self._roll, self.held
        holders = {item: roll.holders.get(name) for item, name in self._names.items() if item not in held}
        return all(holder in roll.members for holder in holders.values())

    def claim(self, item: str) -> Lease | None:
        """The item's lease, None when another was quicker."""
        with self._wire:
            lease = self._leases.claim(self._names[item], self.owner, ttl_ms=self._ttl_ms)
            if lease is not None:
                with self._lock:
                    self._held[item] = lease
            return lease

    def take_all(self) -> dict[str, Lease]:
        """Every item's lease, whoever has it."""
        with self._wire:
            for item, name in self._names.items():
                lease = self._leases.take(name, self.owner, ttl_ms=self._ttl_ms)
                with self._lock:
                    self._held[item] = lease
        return self.held

    def release(self, item: str) -> None:
        """Gives the item back; nothing happens when it was lost."""
        with self._wire:
            with self._lock:
                lease = self._held.pop(item)
            self._lost.discard(item)
            self._leases.release(lease)

    def leave(self) -> None:
        """Gives back all it has and goes."""
        self._ends.set()
        self._heart.join()
        for item in list(self.held):
            self.release(item)
        if self._joins:
            self._leases.leave(self._group, self.owner)

    def _run(self) -> None:
        while not self._ends.wait(self._ttl_ms / 1000 / BEATS_A_TTL):
            if time.monotonic() - self._round_at > STUCK_TTLS * self._ttl_ms / 1000:
                continue
            try:
                self.beat()
            except EaglerayError:  # the server is away; what the loop wants to do there tells the user
                continue
