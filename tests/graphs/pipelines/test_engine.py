"""The engine against a naive loop: random pipelines, in any order, with failures, skips, caching, resuming."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eagleray import Pipeline, Settings
from eagleray.graphs.pipelines.call import Call, Compound, Ended, Given, Input, at_path
from eagleray.graphs.pipelines.contents import Contents
from eagleray.graphs.pipelines.engine import Engine
from eagleray.graphs.pipelines.records import RunRecord, StepRecord
from eagleray.graphs.pipelines.sql_pipeline_runs import PipelineBook


@dataclass(frozen=True)
class Part:
    """A node of a random pipeline: which earlier nodes it takes, comes after, is gated by."""

    name: str
    kind: str
    takes: tuple[int, ...]
    after: tuple[int, ...]
    gate: int | None
    negated: bool
    cache: bool


@st.composite
def parts(draw: Any) -> list[Part]:
    made: list[Part] = []
    for place in range(draw(st.integers(1, 10))):
        steps = [at for at, one in enumerate(made) if one.kind != "when"]
        gates = [at for at, one in enumerate(made) if one.kind == "when"]
        some = st.lists(st.sampled_from(steps), max_size=3, unique=True) if steps else st.just([])
        takes = tuple(draw(some))
        kind = draw(st.sampled_from(["step", "step", "map", "when"])) if takes else "step"
        gate = draw(st.sampled_from([None, *gates])) if kind != "when" else None
        after = tuple(draw(some)) if kind != "when" else ()
        made.append(Part(f"n{place}", kind, takes, after, gate, draw(st.booleans()), draw(st.booleans())))
    return made


def value(name: str, inputs: Sequence[Any]) -> int:
    """What a step makes of its inputs."""
    return sum(len(name) + place + (sum(one) if isinstance(one, list) else one) for place, one in enumerate(inputs, 1))


def items(inputs: Sequence[Any]) -> list[int]:
    """What a map goes over: none to three items."""
    return list(range(value("", inputs) % 4))


def naive(some: list[Part]) -> dict[str, Any]:
    """Each node's value in the order they were written; a node that is skipped has none."""
    found: dict[str, Any] = {}
    for part in some:
        needs = [some[at].name for at in (*part.takes, *([part.gate] if part.gate is not None else []))]
        if any(name not in found for name in needs):
            continue
        if part.gate is not None and found[some[part.gate].name] == part.negated:
            continue
        inputs = [found[some[at].name] for at in part.takes]
        if part.kind == "when":
            found[part.name] = value(part.name, inputs) % 2 == 0
        elif part.kind == "map":
            found[part.name] = [value(part.name, [item, *inputs]) for item in items(inputs)]
        else:
            found[part.name] = value(part.name, inputs)
    return found


@dataclass
class Calls:
    """What was called how often, and which calls are to fail."""

    done: Counter[str] = field(default_factory=Counter)
    failing: set[str] = field(default_factory=set)


def built(some: list[Part], calls: Calls) -> Pipeline:
    p = Pipeline("random")
    refs: list[Any] = []

    def spread(*inputs: Any) -> list[int]:
        return items(inputs)

    for part in some:
        inputs = [refs[at] for at in part.takes]
        gate = None if part.gate is None else ~refs[part.gate] if part.negated else refs[part.gate]
        after = [refs[at] for at in part.after]

        def fn(*inputs: Any, name: str = part.name) -> int:
            return value(name, inputs)

        def asked(*inputs: Any, name: str = part.name) -> bool:
            return value(name, inputs) % 2 == 0

        words: dict[str, Any] = {"when": gate, "after": after}
        if part.kind == "when":
            refs.append(p.when(asked_named(asked, part.name), *inputs))
        elif part.kind == "map":
            over = p.step(spread, *inputs, name=f"{part.name}-over", when=gate)
            refs.append(p.map(asked_named(fn, part.name), *inputs, over=over, cache=part.cache, **words))
        else:
            refs.append(p.step(asked_named(fn, part.name), *inputs, cache=part.cache, **words))
    return p


def asked_named(fn: Any, name: str) -> Any:
    fn.__name__ = name
    return fn


class AnyOrderCrew:
    """Runs calls when it is asked to wait: some of those that were begun, in any order."""

    def __init__(self, contents: Contents, chance: random.Random, calls: Calls) -> None:
        self._contents, self._chance, self._calls = contents, chance, calls
        self.at_once = chance.choice([1, 2, 100])
        self.running: list[Call] = []
        self.begun: list[str] = []
        self.log: list[tuple[str, str]] = []

    def start(self, call: Call, *, alone: bool) -> None:
        assert len(self.running) < self.at_once
        assert not alone or not self.running
        self.log.append(("begin", call.node.name))
        self.running.append(call)

    def wait(self) -> list[Ended]:
        self._chance.shuffle(self.running)
        count = self._chance.randint(1, len(self.running))
        now, self.running = self.running[:count], self.running[count:]
        return [self._ended(call) for call in now]

    def _ended(self, call: Call) -> Ended:
        self.log.append(("end", call.node.name))
        self._calls.done[call.name] += 1
        if call.name in self._calls.failing:
            return Ended(call, error=ValueError(call.name))
        args = [self.value(one) for one in call.args]
        return Ended(call, self._contents.put(call.node.function(*args)))

    def value(self, wanted: Input) -> Any:
        if isinstance(wanted, Given):
            return wanted.value
        if isinstance(wanted, Compound):
            return wanted.fill([self.value(one) for one in wanted.parts])
        return at_path(self._contents.get(wanted.ref), wanted.path, wanted.of)

    def forget(self, ref: str) -> None: ...

    def stop(self) -> None: ...


@settings(max_examples=150, deadline=None)
@given(some=parts(), seed=st.integers(0, 2**32), failing=st.sets(st.integers(0, 9), max_size=3))
def test_like_a_naive_loop(some: list[Part], seed: int, failing: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _check(some, random.Random(seed), failing, Path(folder))


def _check(some: list[Part], chance: random.Random, failing: set[int], folder: Path) -> None:
    contents, book, calls = Contents(Settings(home=folder)), PipelineBook("sqlite://"), Calls()
    pipeline = built(some, calls)
    expected = naive(some)
    needs = {node.name: {*node.needs, *node.after} for node in pipeline.nodes}

    def engine(record: RunRecord, known: dict[str, StepRecord]) -> tuple[Engine, AnyOrderCrew]:
        crew = AnyOrderCrew(contents, chance, calls)
        made = Engine(
            pipeline.nodes, {}, record, (book, contents, crew), known=known, told=lambda _: None, with_words=False
        )
        made.run()
        return made, crew

    def outcome(run_id: str) -> dict[str, Any]:
        rows = book.steps(run_id)
        ours = {name: row for name, row in rows.items() if name in needs and not name.endswith("-over")}
        assert set(ours) == {one.name for one in some}, "every node has a row"
        return {name: contents.get(row.output) for name, row in ours.items() if row.status != "SKIPPED"}

    first = RunRecord("a" * 32, "random", "shape", started_us=1)
    book.begin(first)
    calls.failing = {name for at in failing for name in (f"n{at}", f"n{at}[0]")}
    made, crew = engine(first, {})
    before = Counter(calls.done)
    finished = {name for name, row in book.steps(first.id).items() if row.status in ("FINISHED", "CACHED")}
    ended: set[str] = set()
    for what, name in crew.log:
        if what == "begin":
            waited = {one for one in needs[name] if any(log == ("end", one) for log in crew.log)}
            assert waited <= ended, f"{name} began before {waited - ended} had ended"
        elif not any(one.node.name == name for one in crew.running):
            ended.add(name)
    assert (made.failed is not None) == bool(calls.failing & set(before)), "a failure is told, and only a failure"

    calls.failing = set()
    if made.failed is not None:
        assert made.failed[0] not in finished
        taken = book.take_over(first, owner="another", workers="here", tracked="")
        again, _ = engine(taken, book.steps(first.id))
        assert again.failed is None
        assert all(calls.done[name] == count for name, count in before.items() if name in finished), "run once"
    assert outcome(first.id) == expected
    assert all(count <= 2 for count in calls.done.values())

    second = RunRecord("b" * 32, "random", "shape", started_us=2)
    book.begin(second)
    calls.done.clear()
    engine(second, {})
    assert outcome(second.id) == expected
    cached = {part.name for part in some if part.cache}
    assert not [name for name in calls.done if name.partition("[")[0] in cached], "what is cached is not run again"
    book.close()
