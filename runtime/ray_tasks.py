"""Calls of a function as Ray tasks: one at a time, or in batches."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import ray

from . import ray_cluster
from .bundle import Code, code_of
from .call_options import CallOptions
from .errors import DefinitionError, InputError, ServerUnavailable
from .failure import WorkerTraceback, told
from .packages import Packaged
from .ray_capacity import cluster_resources, misfit, slots
from .ray_watch import RayWatch, lost
from .settings import Settings
from .task_body import BatchMode, Body, Outcome

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
ObjectRef: TypeAlias = "ray.ObjectRef[T]"

# cloudpickle's list of modules that travel by value is one per process.
_by_value_lock = threading.Lock()


class Tasks(Generic[R]):
    """One function on Ray: `submit` starts a call, `batches` gives what `.map` drives.

    Connects on first use, with the settings of the environment, unless this process has a Ray already.
    """

    def __init__(self, fn: Callable[..., R], options: CallOptions) -> None:
        self._options = options
        self._body = Body(fn, options, watch=RayWatch)
        self._handles: dict[str, Any] = {}
        self._session: tuple[str, str] | None = None
        self._code = Code((), ())

    def submit(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> ray.ObjectRef[R]:
        """Starts one call and returns its reference (of a generator function: the iterable of its references).

        Raises `InputError` for what cannot travel to a worker, `DefinitionError` for needs no node can meet.
        """
        reference: ray.ObjectRef[R] = self._start("stream" if self._body.is_stream else "call", args, kwargs)
        return reference

    def batches(self, shared: Mapping[str, Any], mode: BatchMode) -> RayBatches[R]:
        """What runs this function over many items; reads the cluster's size now, and puts `shared` there once."""
        self._connect()
        kept = {name: stored(value) for name, value in shared.items()}
        limit = slots(self._options.resources, cluster_resources())
        return RayBatches(self, min(limit, self._options.concurrency or limit), (mode, kept))

    def streams(self, shared: Mapping[str, Any]) -> RayStreams:
        """What runs a generator function over many items."""
        self._connect()
        limit = slots(self._options.resources, cluster_resources())
        return RayStreams(self, min(limit, self._options.concurrency or limit), shared)

    def start_batch(self, items: list[object], mode: BatchMode, shared: Mapping[str, Any]) -> ray.ObjectRef[Outcome[R]]:
        """Starts the calls for `items` as one task; a reference among them arrives as the value it stands for."""
        holds_references = any(isinstance(item, ray.ObjectRef) for item in items)
        packed = (None, *items) if holds_references else (items,)
        reference: ray.ObjectRef[Outcome[R]] = self._start("batch", (mode, *packed), shared)
        return reference

    @property
    def name(self) -> str:
        """The function's, for messages."""
        return self._options.name

    @property
    def is_stream(self) -> bool:
        """True where a call yields its results."""
        return self._body.is_stream

    def _start(self, kind: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self._connect()
        handle = self._handles.get(kind)
        try:
            if handle is not None:
                return handle.remote(*args, **kwargs)
            with travelling(self._code.modules):
                handle = ray.remote(**task_options(self._options))(_remote(self._body, kind)).options(name=self.name)
                reference = handle.remote(*args, **kwargs)
        except TypeError as error:
            raise clear(error, self.name) from None
        self._handles[kind] = handle
        return reference

    def _connect(self) -> None:
        if not ray.is_initialized():
            ray_cluster.connect(Settings.from_env())
        context = ray.get_runtime_context()
        session = (context.get_node_id(), context.get_job_id())
        # Another cluster lacks what was sent to the old one, and code that was changed since is to run as it is now.
        if session != self._session or not self._code.is_current():
            check_fits(self._options)
            self._handles, self._session, self._code = {}, session, code_of(self._body.fn)


class Starter(Protocol[R]):
    """What starts batches: tasks or actors."""

    @property
    def name(self) -> str: ...

    def start_batch(
        self, items: list[object], mode: BatchMode, shared: Mapping[str, Any]
    ) -> ray.ObjectRef[Outcome[R]]: ...


class Submitter(Protocol):
    """What starts single calls: tasks or actors."""

    @property
    def name(self) -> str: ...

    def submit(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any: ...


class RayBatches(Generic[R]):
    """Batches of one function's calls."""

    def __init__(self, tasks: Starter[R], slots: int, how: tuple[BatchMode, Mapping[str, Any]]) -> None:
        self._tasks = tasks
        self._mode, self._shared = how
        self.slots = slots

    def submit(self, items: list[object]) -> ray.ObjectRef[Outcome[R]]:
        return self._tasks.start_batch(items, self._mode, self._shared)

    def any_of(self, tickets: Sequence[ray.ObjectRef[Outcome[R]]]) -> ray.ObjectRef[Outcome[R]]:
        ready, _ = ray.wait(list(tickets))
        return ready[0]

    def result(self, ticket: ray.ObjectRef[Outcome[R]]) -> Outcome[R]:
        return fetched(ticket, self._tasks.name)

    def cancel(self, tickets: list[ray.ObjectRef[Outcome[R]]]) -> None:
        if ray.is_initialized():
            for ticket in tickets:
                ray.cancel(ticket)

    def close(self) -> None:
        """Called when the map has ended."""


class RayStreams:
    """A generator function's calls, one an item; a ticket is the iterable of its references."""

    def __init__(self, tasks: Submitter, slots: int, shared: Mapping[str, Any]) -> None:
        self._tasks = tasks
        self._shared = {name: stored(value) for name, value in shared.items()}
        self.slots = slots

    def submit(self, item: object) -> Any:
        return self._tasks.submit((item,), self._shared)

    def values(self, ticket: Any) -> Iterator[Any]:
        for reference in ticket:
            yield fetched(reference, self._tasks.name)

    def cancel(self, tickets: list[Any]) -> None:
        if ray.is_initialized():
            for ticket in tickets:
                ray.cancel(ticket)


def fetched(ticket: ray.ObjectRef[T], name: str) -> T:
    """What a reference stands for; raises `ServerUnavailable` when its worker was lost for good."""
    try:
        return ray.get(ticket)
    except (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.OutOfMemoryError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.ActorDiedError,
        ray.exceptions.ActorUnavailableError,
    ) as error:
        if getattr(error, "actor_init_failed", False):
            raise ServerUnavailable(f"{name}: its setup failed: {str(error).strip().splitlines()[-1]}") from None
        out_of_memory = isinstance(error, ray.exceptions.OutOfMemoryError)
        raise ServerUnavailable(lost(name, why="ran out of memory" if out_of_memory else "died")) from None
    except ray.exceptions.RayTaskError as error:
        # The user's own, or one around the user's code: an argument, or a result, that cannot be pickled or read back.
        if not isinstance(error.cause, Exception):
            raise error from None
        raise error.cause from _frames(error)


def _frames(error: ray.exceptions.RayTaskError) -> WorkerTraceback:
    """What Ray tells of an error's frames, without its own first line and colours."""
    head, _, text = re.sub(r"\x1b\[\d+m", "", str(error)).partition("\n")
    place = re.search(r"\((pid=\d+, ip=[^,)]+)", head)
    return WorkerTraceback(f"Traceback (most recent call last):\n{text}", place[1] if place else head)


def task_options(options: CallOptions) -> dict[str, Any]:
    """Ray's words for what a call needs. Only lost workers run again: an error of the user's code is the answer."""
    # A worker that is ended for a time limit is lost to Ray; the attempt after it is the one that says why.
    attempts = max(options.retries.attempts, 1 if options.timeout_s is not None else 0)
    found = {**options.resources.ray_options(), "max_retries": attempts, "retry_exceptions": False}
    if options.packages:
        found["runtime_env"] = environment(options)
    return found


def environment(options: CallOptions) -> dict[str, Any]:
    """A runtime environment of its own: workers with these packages run nothing else."""
    return {"env_vars": {"EAGLERAY_PACKAGES": " ".join(options.packages)}}


def check_fits(options: CallOptions) -> None:
    """Says at once what no node can ever give, where Ray would wait for it."""
    problem = misfit(options.resources)
    if problem is not None:
        raise DefinitionError(f"{options.name} {problem}: ask for less or add a node")


@contextlib.contextmanager
def travelling(modules: Sequence[str]) -> Iterator[None]:
    """Inside, the user's own modules are pickled by value: a worker need not have their files."""
    pickler: Any = ray.cloudpickle
    with _by_value_lock:
        named = [sys.modules[name] for name in modules if name in sys.modules and name != "__main__"]
        already = pickler.list_registry_pickle_by_value()
        added = [module for module in named if module.__name__ not in already]
        for module in added:
            pickler.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in added:
                pickler.unregister_pickle_by_value(module)


def clear(error: TypeError, name: str) -> Exception:
    """One line for what cannot be pickled; any other TypeError (a wrong argument) stays as it is."""
    text = str(error)
    if "serializ" not in text.lower() and "pickle" not in text:
        return error
    reason = text.strip().splitlines()[0].rstrip(":")
    return InputError(
        f"{name}: {reason}: pass plain data (numbers, frames, paths) and open files or locks inside the function"
    )


def _remote(body: Body[Any], kind: str) -> Callable[..., Any]:
    """What Ray is given to run."""
    if body.options.packages:
        return _packaged(body, kind)
    if kind == "batch":

        def batch(mode: BatchMode, packed: list[Any] | None, *items: Any, **shared: Any) -> Outcome[Any]:
            return body.batch(items if packed is None else packed, shared, mode)

        return batch
    if kind == "stream":

        def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            for value in body.stream(args, kwargs):  # noqa: UP028 - Ray sends values in, which are not for the user's
                yield value

        return stream
    if body.is_plain:
        return body.fn  # the user's own function, so that its frames are the first and only ones

    def limited(*args: Any, **kwargs: Any) -> Any:
        try:
            return body.call(args, kwargs)
        except Exception as error:
            told(error)
            raise

    return limited


def _packaged(body: Body[Any], kind: str) -> Callable[..., Any]:
    """The same, read back only once its packages are there: the function may name them at its module's top."""
    packed = pack(body)
    if kind == "batch":

        def batch(mode: BatchMode, items: list[Any] | None, *more: Any, **shared: Any) -> Outcome[Any]:
            found: Outcome[Any] = packed.open().batch(more if items is None else items, shared, mode)
            return found

        return batch
    if kind == "stream":

        def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            for value in packed.open().stream(args, kwargs):  # noqa: UP028 - as above
                yield value

        return stream

    def packaged(*args: Any, **kwargs: Any) -> Any:
        try:
            return packed.open().call(args, kwargs)
        except Exception as error:
            told(error)
            raise

    return packaged


def pack(body: Body[Any]) -> Packaged:
    """A body as bytes, with the packages that reading it back takes."""
    pickler: Any = ray.cloudpickle
    return Packaged(body.options.packages, pickler.dumps(body))


def stored(value: Any) -> Any:
    """A reference to the value, so that it travels once and not with every batch; what is small travels along."""
    return value if isinstance(value, ray.ObjectRef | str | int | float | bool | None) else ray.put(value)
