"""Calls of a function as Ray tasks: one at a time, or in batches."""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import ray

from . import ray_cluster
from .bundle import local_modules
from .errors import InputError, ServerUnavailable
from .resources import Resources
from .settings import Settings
from .task_body import Outcome, call, call_batch

R = TypeVar("R")
T = TypeVar("T")
ObjectRef: TypeAlias = "ray.ObjectRef[T]"

# cloudpickle's list of modules that travel by value is one per process.
_by_value_lock = threading.Lock()


class Tasks(Generic[R]):
    """One function on Ray: `submit` starts a call, `batches` gives what `.map` drives.

    Connects on first use, with the settings of the environment, unless this process has a Ray already.
    """

    def __init__(
        self,
        fn: Callable[..., R],
        *,
        name: str,
        resources: Resources,
        retries: int,
        timeout_s: float | None,
        packages: Sequence[str],
    ) -> None:
        self._fn = fn
        self._name = name
        self._timeout_s = timeout_s
        self._options = task_options(resources, retries=retries, packages=packages)
        self._resources = resources
        self._handles: dict[str, Any] = {}
        self._session: tuple[str, str] | None = None

    def submit(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> ray.ObjectRef[R]:
        """Starts one call and returns its reference; raises `InputError` for what cannot travel to a worker."""
        reference: ray.ObjectRef[R] = self._start("call", args, kwargs)
        return reference

    def batches(self) -> RayBatches[R]:
        """What runs this function over many items; reads the cluster's size now."""
        self._connect()
        return RayBatches(self, slots(self._resources, _cluster_resources()))

    def start_batch(self, items: list[object]) -> ray.ObjectRef[Outcome[R]]:
        """Starts the calls for `items` as one task; a reference among them arrives as the value it stands for."""
        holds_references = any(isinstance(item, ray.ObjectRef) for item in items)
        reference: ray.ObjectRef[Outcome[R]] = self._start(
            "batch", (None, *items) if holds_references else (items,), {}
        )
        return reference

    def _start(self, kind: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self._connect()
        handle = self._handles.get(kind)
        try:
            if handle is not None:
                return handle.remote(*args, **kwargs)
            with _by_value_lock, _travelling(local_modules(self._fn)):
                handle = ray.remote(**self._options)(self._body(kind)).options(name=self._name)
                reference = handle.remote(*args, **kwargs)
        except TypeError as error:
            raise _clear(error, self._name) from None
        self._handles[kind] = handle
        return reference

    def _connect(self) -> None:
        if not ray.is_initialized():
            ray_cluster.connect(Settings.from_env())
        context = ray.get_runtime_context()
        session = (context.get_node_id(), context.get_job_id())
        if session != self._session:  # another cluster: what was sent to the old one is not there
            self._handles, self._session = {}, session

    def _body(self, kind: str) -> Callable[..., Any]:
        fn, timeout_s = self._fn, self._timeout_s
        if kind == "batch":

            def batch(packed: list[Any] | None, *items: Any) -> Outcome[R]:
                return call_batch(fn, items if packed is None else packed, timeout_s)

            return batch
        if timeout_s is None and not inspect.iscoroutinefunction(fn):
            return fn  # the user's own function, so that its frames are the first and only ones

        def limited(*args: Any, **kwargs: Any) -> R:
            result: R = call(fn, args, kwargs, timeout_s)
            return result

        return limited


class RayBatches(Generic[R]):
    """Batches of one function's calls, each a Ray task."""

    def __init__(self, tasks: Tasks[R], slots: int) -> None:
        self._tasks = tasks
        self.slots = slots

    def submit(self, items: list[object]) -> ray.ObjectRef[Outcome[R]]:
        return self._tasks.start_batch(items)

    def result(self, ticket: ray.ObjectRef[Outcome[R]]) -> Outcome[R]:
        name = self._tasks._name
        try:
            return ray.get(ticket)
        except (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.NodeDiedError,
        ) as error:
            why = "ran out of memory" if isinstance(error, ray.exceptions.OutOfMemoryError) else "died"
            cure = "ask for more memory, raise retries, or look for a crash in native code"
            raise ServerUnavailable(f"{name}: its worker {why}, and so did every retry's: {cure}") from None
        except ray.exceptions.RayTaskError as error:
            # Raised around the user's code: an argument, or a result, that cannot be pickled or read back.
            cause = error.cause if isinstance(error.cause, Exception) else error
            raise cause from None

    def cancel(self, tickets: list[ray.ObjectRef[Outcome[R]]]) -> None:
        if ray.is_initialized():
            for ticket in tickets:
                ray.cancel(ticket)


def task_options(resources: Resources, *, retries: int, packages: Sequence[str]) -> dict[str, Any]:
    """Ray's words for what a call needs. Only lost workers run again: an error of the user's code is the answer."""
    options = {**resources.ray_options(), "max_retries": retries, "retry_exceptions": False}
    if packages:
        options["runtime_env"] = {"uv": list(packages)}
    return options


def slots(resources: Resources, cluster: Mapping[str, float]) -> int:
    """How many calls the cluster runs at the same time, at least one."""
    wants = {"CPU": resources.cpus, "GPU": resources.gpu, "memory": resources.memory_bytes, **resources.custom}
    fits = [cluster.get(name, 0.0) / want for name, want in wants.items() if want]
    return max(1, int(min(fits, default=cluster.get("CPU", 1.0))))


def _cluster_resources() -> Mapping[str, float]:
    untyped: Any = ray.cluster_resources
    found: Mapping[str, float] = untyped()
    return found


@contextlib.contextmanager
def _travelling(modules: Sequence[str]) -> Iterator[None]:
    """Inside, the user's own modules are pickled by value: a worker need not have their files."""
    named = [sys.modules[name] for name in modules if name in sys.modules and name != "__main__"]
    pickler: Any = ray.cloudpickle
    already = pickler.list_registry_pickle_by_value()
    added = [module for module in named if module.__name__ not in already]
    for module in added:
        pickler.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            pickler.unregister_pickle_by_value(module)


def _clear(error: TypeError, name: str) -> Exception:
    """One line for what cannot be pickled; any other TypeError (a wrong argument) stays as it is."""
    text = str(error)
    if "serializ" not in text.lower() and "pickle" not in text:
        return error
    reason = text.strip().splitlines()[0].rstrip(":")
    return InputError(
        f"{name}: {reason}: pass plain data (numbers, frames, paths) and open files or locks inside the function"
    )
