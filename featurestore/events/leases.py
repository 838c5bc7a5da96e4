"""Leases: who may write what, for how long. A port and its in-memory form.

A lease has a name (a partition of one feature set version) and an epoch. It is held for a time and renewed by
heartbeats; who takes it next gets a higher epoch, and the server refuses writes under a lower one. So a holder
that was too slow, or that everyone took for dead, can do no harm. Time is the server's, never a worker's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ...runtime.errors import Fenced


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write under one name; a later lease has a higher epoch and voids this one."""

    name: str
    epoch: int
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Roll:
    """What a heartbeat learns: the members that are alive with their notes, and who holds each name (None: nobody)."""

    members: Mapping[str, str] = field(default_factory=dict)
    holders: Mapping[str, str | None] = field(default_factory=dict)


class Leases(Protocol):
    """Leases of groups: every name begins with `{GROUP}`, so that a cluster keeps a group on one shard."""

    def take(self, name: str, owner: str, *, ttl_ms: int) -> Lease:
        """Takes the lease over, whoever holds it: from now on earlier holders' writes raise `Fenced`."""

    def claim(self, name: str, owner: str, *, ttl_ms: int) -> Lease | None:
        """Takes the lease when nobody else holds it; None when somebody does."""

    def release(self, lease: Lease) -> None:
        """Gives it back, for others to claim at once; nothing happens when it was lost."""

    def beat(self, group: str, names: Sequence[str], *, me: Member | None = None) -> Roll:
        """Keeps the member alive and its leases its own, and tells who else is there; one round trip.

        Without `me` it only looks.
        """

    def leave(self, group: str, owner: str) -> None:
        """The member goes now; its leases it has released before."""


@dataclass(frozen=True, slots=True)
class Member:
    """Who beats: its name, how long it counts as alive from now on, the epochs of what it holds, a note for others.

    With `joins` False it only renews its leases: others do not count it when they share the work.
    """

    owner: str
    ttl_ms: int
    held: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    joins: bool = True


def lease_name(group: str, item: object) -> str:
    """The name of one item's lease."""
    return f"{{{group}}}:{item}"


def fenced(lease: Lease) -> Fenced:
    """The error of a writer that came too late."""
    return Fenced(f"another worker has taken {lease.name} over (this one held epoch {lease.epoch}); let it go on")


class MemoryLeases:
    """The same contract in one process's memory; `now_ms` is its clock."""

    def __init__(self, now_ms: Callable[[], float] = lambda: time.monotonic() * 1000) -> None:
        self._now_ms = now_ms
        self._epochs: dict[str, int] = {}
        self._holders: dict[str, tuple[str, float]] = {}
        self._members: dict[str, dict[str, tuple[float, str]]] = {}

    def take(self, name: str, owner: str, *, ttl_ms: int) -> Lease:
        """Takes the lease over."""
        self._epochs[name] = self._epochs.get(name, 0) + 1
        self._holders[name] = (owner, self._now_ms() + ttl_ms)
        return Lease(name, self._epochs[name], owner)

    def claim(self, name: str, owner: str, *, ttl_ms: int) -> Lease | None:
        """Takes the lease when nobody else holds it."""
        return self.take(name, owner, ttl_ms=ttl_ms) if self._holder(name) in (None, owner) else None

    def release(self, lease: Lease) -> None:
        """Gives it back."""
        if self.is_current(lease):
            self._holders.pop(lease.name, None)

    def beat(self, group: str, names: Sequence[str], *, me: Member | None = None) -> Roll:
        """Keeps the member alive and tells who else is there."""
        members = self._members.setdefault(group, {})
        now = self._now_ms()
        if me is not None:
            if me.joins:
                members[me.owner] = (now + me.ttl_ms, me.note)
            for name, epoch in me.held.items():
                if self._epochs.get(name) == epoch and self._holder(name) in (None, me.owner):
                    self._holders[name] = (me.owner, now + me.ttl_ms)
        for gone in [owner for owner, (until, _) in members.items() if until <= now]:
            del members[gone]
        return Roll({owner: note for owner, (_, note) in members.items()}, {name: self._holder(name) for name in names})

    def leave(self, group: str, owner: str) -> None:
        """The member goes now."""
        self._members.get(group, {}).pop(owner, None)

    def is_current(self, lease: Lease) -> bool:
        """True while nobody has taken it since."""
        return self._epochs.get(lease.name, 0) == lease.epoch

    def _holder(self, name: str) -> str | None:
        owner, until = self._holders.get(name, ("", 0.0))
        return owner if until > self._now_ms() else None
