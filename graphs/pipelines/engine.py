"""One run of a pipeline, driven to its end: what is ready is begun, what has ended is written down, and so on.

A turn of the loop is one transaction: the steps that have ended with their outputs, and those that begin. So whoever
drives may die at any moment: what the catalog says has ended is not run again.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...runtime.errors import InputError
from .call import Call, Crew, Ended, Input
from .contents import Contents, Kept, is_list
from .frontier import Frontier
from .inputs import Keys, input_of, shown
from .items import items_of
from .node import Node, Source, nodes_in, parameters_in
from .records import CACHED, ENDED, FAILED, FINISHED, KILLED, RUNNING, SKIPPED, Cached, RunRecord, StepRecord
from .sql_pipeline_runs import PipelineBook

_ITEMS = 1_000_000  # of a map, at most: they stand between it and the next step


@dataclass(slots=True)
class _Map:
    """A map whose items run: the outputs that are there, and how many are not."""

    outputs: list[str]
    left: int
    started_us: int


class Engine:
    """`known` are the steps of an earlier attempt; `told` is called for each node that has ended.

    `with_words`: describe arguments, for tracked runs.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        parameters: Mapping[str, Any],
        record: RunRecord,
        parts: tuple[PipelineBook, Contents, Crew],
        *,
        known: Mapping[str, StepRecord],
        told: Callable[[int], None],
        with_words: bool,
    ) -> None:
        self._frontier = Frontier(nodes)
        self._parameters, self._record = parameters, record
        self._book, self._contents, self._crew = parts
        self._known, self._told, self._with_words = known, told, with_words
        self._keys = Keys()
        self._outputs: dict[str, str] = {}
        self._about: dict[str, str] = {}
        self._mentions: dict[str, Counter[str]] = {}
        self._maps: dict[str, _Map] = {}
        self._waiting: deque[Call] = deque()
        self._running: dict[str, tuple[Call, int]] = {}
        self._rows: list[StepRecord] = []
        self._fresh: list[Cached] = []
        self.failed: tuple[str, BaseException] | None = None
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        """Returns when nothing runs any more: all has ended, or a step has failed (`failed`). What else is raised ends
        the calls that run."""
        try:
            while True:
                if self.failed is None:
                    self._make_ready()
                if self.failed is None:
                    self._begin()
                self._flush()
                if not self._running:
                    return
                for ended in self._crew.wait():
                    self._settle(ended)
        except BaseException:
            self._crew.stop()
            raise

    def killed(self) -> None:
        """Writes down that what ran was ended."""
        for call, started_us in self._running.values():
            self._write(call.name, call.node, KILLED, started_us=started_us, ended_us=_now_us())
        self._flush()

    def _make_ready(self) -> None:
        """All that can run waits for its turn; what needs no run ends at once, and may make more ready."""
        while self.failed is None:
            runs, skips = self._frontier.take()
            if not runs and not skips:
                return
            for node in skips:
                lacking = next(name for name in node.needs if name not in self._outputs)
                self._skip(node, f"{lacking} was skipped")
            fresh: list[Call] = []
            for node in runs:
                try:
                    fresh += self._calls(node)
                except Exception as error:  # noqa: BLE001 - a condition's or an input's, the user's own
                    self._fail(node.name, node, error)
                    return
            self._waiting += self._not_cached(fresh)

    def _calls(self, node: Node) -> list[Call]:
        """The calls that a ready node takes; none where it has ended by that."""
        known = self._known.get(node.name)
        if known is not None and known.status == SKIPPED:
            self._skip(node, known.error)
            return []
        if known is not None and known.status in ENDED and self._contents.has(known.output):
            self._finish(node, Kept(known.output, known.about), replace(known, run=self._record.id))
            return []
        if node.when is not None and bool(self._crew.value(self._input(node, node.when))) == node.negated:
            gates = ", ".join((*nodes_in(node.when), *parameters_in(node.when)))
            self._skip(node, f"{gates} said {'yes' if node.negated else 'no'}")
            return []
        args = tuple(self._input(node, one) for one in node.args)
        kwargs = tuple((name, self._input(node, one)) for name, one in node.kwargs)
        if node.kind == "when":
            self._ask(node, args, kwargs)
            return []
        if node.kind == "step":
            return [self._call(node, node.name, args, kwargs)]
        return self._items(node, args, kwargs)

    def _ask(self, node: Node, args: tuple[Input, ...], kwargs: tuple[tuple[str, Input], ...]) -> None:
        started_us = _now_us()
        words = {name: self._crew.value(one) for name, one in kwargs}
        verdict = bool(node.function(*(self._crew.value(one) for one in args), **words))
        self._finish(node, self._contents.put(verdict), self._row(node.name, node, FINISHED, started_us=started_us))

    def _items(self, node: Node, args: tuple[Input, ...], kwargs: tuple[tuple[str, Input], ...]) -> list[Call]:
        assert node.over is not None
        items = items_of(self._input(node, node.over), self._contents, self._crew, node.name)
        if len(items) > _ITEMS:
            raise InputError(f"{node.name} goes over {len(items)} items: hand it {_ITEMS} at most, in batches")
        self._maps[node.name] = _Map([""] * len(items), len(items), _now_us())
        if not items:
            self._gather(node)
        calls = []
        for place, item in enumerate(items):
            name = f"{node.name}[{place}]"
            known = self._known.get(name)
            if known is not None and known.status in ENDED and self._contents.has(known.output):
                self._rows.append(replace(known, run=self._record.id))
                self._gathered(node, place, Kept(known.output, known.about))
            else:
                calls.append(self._call(node, name, (item, *args), kwargs))
        return calls

    def _call(self, node: Node, name: str, args: tuple[Input, ...], kwargs: tuple[tuple[str, Input], ...]) -> Call:
        words: tuple[tuple[str, str], ...] = ()
        if self._with_words:
            labels = (*(["item"] if node.kind == "map" else []), *node.labels)
            named = [*zip(labels, args, strict=True), *kwargs]
            # MLflow takes no brackets in a name.
            words = tuple((re.sub(r"\[(\d+)\]", r".\1", label), shown(one, self._about)[:500]) for label, one in named)
        return Call(name, node, args, kwargs, words, takers=self._frontier.takers(node.name))

    def _not_cached(self, calls: list[Call]) -> list[Call]:
        """The calls that must run; the others end with what they gave before."""
        keyed = [replace(one, key=self._keys.key(one)) if one.node.cache else one for one in calls]
        hits = self._book.cached([one.key for one in keyed if one.key]) if any(one.key for one in keyed) else {}
        left = []
        for call in keyed:
            hit = hits.get(call.key)
            if hit is None or not self._contents.has(hit.output):
                left.append(call)
                continue
            now_us = _now_us()
            row = self._row(
                call.name, call.node, CACHED, started_us=now_us, ended_us=now_us, key=call.key, tracked=hit.tracked
            )
            self._done(call, Kept(hit.output, hit.about), row)
        return left

    def _begin(self) -> None:
        """Begins as many as the crew takes, once the catalog knows of them."""
        begun: list[Call] = []
        while self._waiting and len(self._running) + len(begun) < self._crew.at_once:
            begun.append(self._waiting.popleft())
        now_us = _now_us()
        for call in begun:
            self._write(call.name, call.node, RUNNING, started_us=now_us, key=call.key)
        self._flush()
        alone = len(begun) == 1 and not self._running and not self._waiting
        for call in begun:
            if self.failed is not None:
                self._write(call.name, call.node, KILLED, started_us=now_us, ended_us=now_us)
                continue
            self._running[call.name] = (call, now_us)
            try:
                self._crew.start(call, alone=alone)
            except Exception as error:  # noqa: BLE001 - an input that is not there, a call that cannot travel
                self._settle(Ended(call, error=error))

    def _settle(self, ended: Ended) -> None:
        call, started_us = self._running.pop(ended.call.name)
        if ended.kept is None:
            error = ended.error or RuntimeError("it ended without a word")
            self._fail(call.name, call.node, error, started_us=started_us, tracked=ended.tracked)
            return
        times: dict[str, Any] = {"started_us": started_us, "ended_us": _now_us()}
        row = self._row(call.name, call.node, FINISHED, **times, key=call.key, tracked=ended.tracked)
        if call.key:
            self._fresh.append(Cached(call.key, ended.kept.ref, ended.kept.about, ended.tracked, times["ended_us"]))
        self._done(call, ended.kept, row)

    def _done(self, call: Call, kept: Kept, row: StepRecord) -> None:
        """A call has given its output."""
        if call.node.kind != "map":
            self._finish(call.node, kept, row)
            return
        self._rows.append(replace(row, output=kept.ref, about=kept.about))
        self._gathered(call.node, int(call.name[len(call.node.name) + 1 : -1]), kept)

    def _gathered(self, node: Node, place: int, kept: Kept) -> None:
        found = self._maps[node.name]
        found.outputs[place] = kept.ref
        self._about[kept.ref] = kept.about
        found.left -= 1
        if not found.left:
            self._gather(node)

    def _gather(self, node: Node) -> None:
        found = self._maps.pop(node.name)
        row = self._row(node.name, node, FINISHED, started_us=found.started_us)
        self._finish(node, self._contents.gather(found.outputs), row)

    def _finish(self, node: Node, kept: Kept, row: StepRecord) -> None:
        self._outputs[node.name] = kept.ref
        self._about[kept.ref] = kept.about
        ended_us = row.ended_us or _now_us()
        self._rows.append(replace(row, output=kept.ref, about=kept.about, ended_us=ended_us))
        self.counts[row.status] += 1
        self._release(node)

    def _skip(self, node: Node, why: str) -> None:
        self._write(node.name, node, SKIPPED, ended_us=_now_us(), error=why)
        self.counts[SKIPPED] += 1
        self._release(node, skipped=True)

    def _release(self, node: Node, *, skipped: bool = False) -> None:
        self._told(1)
        for name in self._frontier.end(node.name, skipped=skipped):
            ref = self._outputs.get(name)
            if ref is None:
                continue
            self._crew.forget(ref)
            if is_list(ref):
                for part in self._contents.parts(ref):
                    self._crew.forget(part)

    def _fail(self, name: str, node: Node, error: BaseException, **facts: Any) -> None:
        status = FAILED if isinstance(error, Exception) else KILLED
        first = (str(error).strip().splitlines() or [""])[0]
        self._write(name, node, status, ended_us=_now_us(), error=f"{type(error).__name__}: {first}", **facts)
        self.counts[status] += 1
        if self.failed is None:
            self.failed = (name, error)

    def _input(self, node: Node, source: Source) -> Input:
        if node.name not in self._mentions:
            self._mentions[node.name] = Counter(name for _, one in node.named for name in nodes_in(one))
        mentions = self._mentions[node.name]
        # A step that may run again is to find its input as it was.
        is_last = node.kind == "step" and not node.spec.retries.on

        def alone(name: str) -> bool:
            return is_last and mentions[name] == 1 and self._frontier.takers(name) == 1

        return input_of(source, self._outputs, self._parameters, alone=alone)

    def _write(self, name: str, node: Node, status: str, **facts: Any) -> None:
        self._rows.append(self._row(name, node, status, **facts))

    def _row(self, name: str, node: Node, status: str, **facts: Any) -> StepRecord:
        place = self._frontier.place[node.name] * _ITEMS
        if name != node.name:
            place += int(name[len(node.name) + 1 : -1]) + 1
        return StepRecord(self._record.id, name, status, place, **facts)

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        fresh, self._fresh = self._fresh, []
        self._book.write(self._record, rows, fresh)


def _now_us() -> int:
    return time.time_ns() // 1000
