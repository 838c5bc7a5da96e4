"""Which nodes may run next: pure bookkeeping over what needs what."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from .node import Node


class Frontier:
    """Told what has ended, it says what is ready, in the order of the pipeline; a step costs its edges, once.

    A node waits for what it needs and for what it comes after. It is skipped where something it needs was.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._place = {node.name: place for place, node in enumerate(nodes)}
        self._nodes = {node.name: node for node in nodes}
        self._waits: dict[str, int] = {}
        self._behind: dict[str, list[str]] = {node.name: [] for node in nodes}
        self._takers: dict[str, int] = dict.fromkeys(self._nodes, 0)
        self._skipped: set[str] = set()
        self._ready: list[tuple[int, str]] = []
        for node in nodes:
            before = {*node.needs, *node.after}
            self._waits[node.name] = len(before)
            for name in before:
                self._behind[name].append(node.name)
            for name in node.needs:
                self._takers[name] += 1
            if not before:
                heapq.heappush(self._ready, (self._place[node.name], node.name))

    @property
    def place(self) -> Mapping[str, int]:
        """Each node's turn."""
        return self._place

    def take(self) -> tuple[list[Node], list[Node]]:
        """The nodes that became ready since the last call, and those that are to be skipped for want of an input."""
        runs: list[Node] = []
        skips: list[Node] = []
        while self._ready:
            node = self._nodes[heapq.heappop(self._ready)[1]]
            (skips if any(name in self._skipped for name in node.needs) else runs).append(node)
        return runs, skips

    def end(self, name: str, *, skipped: bool = False) -> list[str]:
        """A node has ended. Gives the nodes whose outputs nobody will ask for any more."""
        if skipped:
            self._skipped.add(name)
        for behind in self._behind[name]:
            self._waits[behind] -= 1
            if not self._waits[behind]:
                heapq.heappush(self._ready, (self._place[behind], behind))
        done = [] if self._takers[name] else [name]
        for needed in self._nodes[name].needs:
            self._takers[needed] -= 1
            if not self._takers[needed]:
                done.append(needed)
        return done

    def takers(self, name: str) -> int:
        """How many nodes are still to take this one's output."""
        return self._takers[name]
