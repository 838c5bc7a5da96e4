"""Adapter: runs the calls of a pipeline as Ray tasks, each with what its step asks for.

Outputs go from task to task through Ray's object store; the process that drives the run reads each once, to keep it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray

from ...runtime import ray_cluster
from ...runtime.failure import told
from ...runtime.ray_capacity import cluster_resources
from ...runtime.ray_tasks import Tasks, fetched
from ...runtime.settings import Settings
from .call import Call, Compound, Ended, Given, Input, Stored, at_path
from .child_runs import ChildRuns
from .contents import Contents, is_list
from .step_body import StepBody

_SMALL = (type(None), bool, int, float, str)
# A job that is stopped has some three seconds in all.
_POLITE_S, _FORCED_S = 1.0, 5.0
_AT_LEAST = 100


class RayCrew:
    """See `call.Crew`; as many calls are at Ray as `at_once` says, Ray runs those that there is room for."""

    def __init__(
        self,
        contents: Contents,
        body_of: Callable[[Any], StepBody],
        runs: ChildRuns | None,
        *,
        at_once: int | None,
        settings: Settings,
    ) -> None:
        if not ray.is_initialized():
            ray_cluster.connect(settings)
        self._contents, self._body_of, self._runs = contents, body_of, runs
        self.at_once = at_once or max(_AT_LEAST, 2 * int(cluster_resources().get("CPU", 1)))
        self._tasks: dict[str, Tasks[Any]] = {}
        self._running: dict[ray.ObjectRef[Any], tuple[Call, str]] = {}
        self._objects: dict[str, Any] = {}  # a kept output in Ray's object store, by its ref

    def start(self, call: Call, *, alone: bool) -> None:
        """Begins a call as a task; `alone` changes nothing."""
        flat: list[Any] = []
        plan = (
            [self._planned(one, flat) for one in call.args],
            [(k, self._planned(one, flat)) for k, one in call.kwargs],
        )
        run_id = self._runs.begin(call) if self._runs is not None else ""
        try:
            reference = self._tasks_of(call).submit((run_id, plan, *flat), {})
        except BaseException as error:
            if self._runs is not None:
                self._runs.end(run_id, error)
            raise
        self._running[reference] = (call, run_id)

    def wait(self) -> list[Ended]:
        """Waits until some have ended, and keeps what they gave."""
        ready, _ = ray.wait(list(self._running), num_returns=1)
        more, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        return [self._settled(one) for one in dict.fromkeys([*ready, *more])]

    def value(self, wanted: Input) -> Any:
        """The value in this process."""
        if isinstance(wanted, Given):
            return wanted.value
        if isinstance(wanted, Compound):
            return wanted.fill([self.value(one) for one in wanted.parts])
        if wanted.ref in self._objects:
            return at_path(ray.get(self._objects[wanted.ref]), wanted.path, wanted.of)
        return at_path(self._contents.get(wanted.ref), wanted.path, wanted.of)

    def forget(self, ref: str) -> None:
        """Lets Ray free the object."""
        self._objects.pop(ref, None)

    def stop(self) -> None:
        """Cancels the tasks; a worker that does not end in a second is killed."""
        for forced, wait_s in ((False, _POLITE_S), (True, _FORCED_S)):
            for reference in self._running:
                with suppress(ray.exceptions.RayError, ValueError):
                    ray.cancel(reference, force=forced)
            deadline = time.monotonic() + wait_s
            left = list(self._running)
            while left and time.monotonic() < deadline:
                _, left = ray.wait(left, num_returns=len(left), timeout=0.2)
            self._running = {one: self._running[one] for one in left} if not forced else {}

    def _settled(self, reference: ray.ObjectRef[Any]) -> Ended:
        call, run_id = self._running.pop(reference)
        try:
            kept = self._contents.put(fetched(reference, call.name))
            if call.takers:
                self._objects[kept.ref] = reference
            if self._runs is not None:
                self._runs.end(run_id, None, about=f"{kept.about} #{kept.ref[:8]}")
        except Exception as error:  # noqa: BLE001 - whatever ends the step is told by who waits for it
            if self._runs is not None:
                self._runs.end(run_id, error)
            return Ended(call, error=error, tracked=run_id)
        return Ended(call, kept, tracked=run_id)

    def _tasks_of(self, call: Call) -> Tasks[Any]:
        """One a node: the function travels once, not once an item."""
        name = call.node.name
        if name not in self._tasks:
            self._tasks[name] = Tasks(_on_worker(self._body_of(call.node)), call.node.spec)
        return self._tasks[name]

    def _planned(self, wanted: Input, flat: list[Any]) -> Any:
        """How a worker makes the value of what it is handed: outputs are handed over at the call's top, where Ray puts
        their values in their places."""
        if isinstance(wanted, Given):
            flat.append(wanted.value if isinstance(wanted.value, _SMALL) else ray.put(wanted.value))
            return ("at", len(flat) - 1, (), "")
        if isinstance(wanted, Compound):
            return ("made", wanted.fill, [self._planned(one, flat) for one in wanted.parts])
        if is_list(wanted.ref):
            parts = [Stored(one, of=wanted.of) for one in self._contents.parts(wanted.ref)]
            made = ("made", list, [self._planned(one, flat) for one in parts])
            return ("in", made, wanted.path, wanted.of) if wanted.path else made
        if wanted.ref not in self._objects:
            self._objects[wanted.ref] = ray.put(self._contents.get(wanted.ref))
        flat.append(self._objects[wanted.ref])
        return ("at", len(flat) - 1, wanted.path, wanted.of)


def _on_worker(body: StepBody) -> Callable[..., Any]:
    """What Ray is given to run."""

    def step(run_id: str, plan: Any, *flat: Any) -> Any:
        try:
            args = tuple(assembled(one, flat) for one in plan[0])
            kwargs = {name: assembled(one, flat) for name, one in plan[1]}
            return body(run_id, args, kwargs)
        except Exception as error:
            told(error)
            raise

    return step


def assembled(plan: Any, flat: tuple[Any, ...]) -> Any:
    """A value by its plan."""
    kind, *rest = plan
    if kind == "made":
        fill, parts = rest
        return fill([assembled(one, flat) for one in parts])
    if kind == "in":
        inner, path, of = rest
        return at_path(assembled(inner, flat), path, of)
    place, path, of = rest
    return at_path(flat[place], path, of)
