"""Calls of a class with state as methods of warm Ray actors, which are made and set up once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray

from . import ray_cluster
from .bundle import Code, code_of
from .call_options import CallOptions
from .failure import told
from .packages import Packaged
from .ray_capacity import cluster_resources, slots, wanted
from .ray_tasks import RayBatches, RayStreams, check_fits, clear, environment, pack, stored, travelling
from .ray_watch import RayWatch
from .settings import Settings
from .stateful import Stateful
from .task_body import BatchMode, Body, Outcome

R = TypeVar("R")


class StatefulActor:
    """One worker process with one object, set up before the first call."""

    def __init__(self, packed: Packaged) -> None:
        self._body: Body[Any] = packed.open()
        made: Any = self._body.fn
        made.ready()

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """One call."""
        try:
            return self._body.call(args, kwargs)
        except Exception as error:
            told(error)
            raise

    def batch(self, mode: BatchMode, packed: list[Any] | None, *items: Any, **shared: Any) -> Outcome[Any]:
        """A call an item."""
        return self._body.batch(items if packed is None else packed, shared, mode)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """What a generator method yields."""
        for value in self._body.stream(args, kwargs):  # noqa: UP028 - Ray sends values in, which are not for the user's
            yield value


@dataclass(slots=True)
class _Warm:
    """An actor, and what it was asked and has not answered."""

    handle: Any
    open: list[Any] = field(default_factory=list)

    def settle(self) -> int:
        """How many calls it still has before it."""
        if self.open:
            _, self.open = ray.wait(self.open, num_returns=len(self.open), timeout=0, fetch_local=False)
        return len(self.open)


class Actors(Generic[R]):
    """The same face as `ray_tasks.Tasks`, for a class: one actor stays warm, `concurrency` of them when that is set.

    `.map` adds more while it runs, as far as the cluster has room. They end with this object, with `close`, and with
    the session; one whose process is lost comes back, its setup done anew.
    """

    def __init__(self, made: Stateful, options: CallOptions) -> None:
        self._options = options
        self._body: Body[R] = Body(made, options, watch=RayWatch)
        self._warm: list[_Warm] = []
        self._class: Any = None
        self._session: tuple[str, str] | None = None
        self._code = Code((), ())

    @property
    def name(self) -> str:
        """The function's, for messages."""
        return self._options.name

    @property
    def is_stream(self) -> bool:
        """True where a call yields its results."""
        return self._body.is_stream

    def submit(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> ray.ObjectRef[R]:
        """Starts one call on the actor that has least to do and returns its reference."""
        self._connect()
        kind = "stream" if self._body.is_stream else "call"
        reference: ray.ObjectRef[R] = self._ask(kind, args, kwargs, most=self._options.concurrency or 1)
        return reference

    def batches(self, shared: Mapping[str, Any], mode: BatchMode) -> RayBatches[R]:
        """What runs the class over many items."""
        self._connect()
        kept = {name: stored(value) for name, value in shared.items()}
        room = slots(self._options.resources, _free()) if _has_room(self._options) else 0
        limit = max(1, min(len(self._warm) + room, slots(self._options.resources, cluster_resources())))
        return _ActorBatches(self, min(limit, self._options.concurrency or limit), (mode, kept))

    def streams(self, shared: Mapping[str, Any]) -> RayStreams:
        """What runs a class that yields over many items, on the warm actors."""
        self._connect()
        return RayStreams(self, self._options.concurrency or 1, shared)

    def start_batch(
        self, items: list[object], mode: BatchMode, shared: Mapping[str, Any], *, most: int = 1
    ) -> ray.ObjectRef[Outcome[R]]:
        """Starts the calls for `items` on the actor that has least to do."""
        holds_references = any(isinstance(item, ray.ObjectRef) for item in items)
        packed = (None, *items) if holds_references else (items,)
        reference: ray.ObjectRef[Outcome[R]] = self._ask("batch", (mode, *packed), shared, most=most)
        return reference

    def shrink(self) -> None:
        """Ends the actors that only a `.map` needed."""
        keep = self._options.concurrency or 1
        for one in self._warm[keep:]:
            ray.kill(one.handle)
        del self._warm[keep:]

    def close(self) -> None:
        """Ends all actors, with what they are doing."""
        if ray.is_initialized():
            for one in self._warm:
                ray.kill(one.handle)
        self._warm.clear()

    def _ask(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, most: int) -> Any:
        chosen = min(self._warm, key=_Warm.settle, default=None)
        if chosen is None or (chosen.open and len(self._warm) < most):
            chosen = self._spawn()
        call = getattr(chosen.handle, method)
        if method == "stream":
            call = call.options(num_returns="streaming")
        try:
            reference = call.remote(*args, **kwargs)
        except TypeError as error:
            raise clear(error, self.name) from None
        # A stream has no reference of its own that could be waited for; whoever reads it keeps its actor busy.
        if isinstance(reference, ray.ObjectRef):
            chosen.open.append(reference)
        return reference

    def _spawn(self) -> _Warm:
        try:
            with travelling(self._code.modules):
                if self._class is None:
                    self._class = ray.remote(**_actor_options(self._options))(StatefulActor)
                handle = self._class.remote(pack(self._body))
        except TypeError as error:
            raise clear(error, self.name) from None
        self._warm.append(_Warm(handle))
        return self._warm[-1]

    def _connect(self) -> None:
        if not ray.is_initialized():
            ray_cluster.connect(Settings.from_env())
        context = ray.get_runtime_context()
        session = (context.get_node_id(), context.get_job_id())
        # Another cluster's actors are gone with it; those whose code was changed since end after what they have.
        if session != self._session or not self._code.is_current():
            check_fits(self._options)
            made: Any = self._body.fn
            self._warm, self._class, self._session, self._code = [], None, session, code_of(made.cls)


class _ActorBatches(RayBatches[R]):
    """Batches on actors; when the map ends, those that only it needed go."""

    def __init__(self, actors: Actors[R], slots: int, how: tuple[BatchMode, Mapping[str, Any]]) -> None:
        super().__init__(actors, slots, how)
        self._actors = actors

    def submit(self, items: list[object]) -> ray.ObjectRef[Outcome[R]]:
        return self._actors.start_batch(items, self._mode, self._shared, most=self.slots)

    def close(self) -> None:
        if ray.is_initialized():
            self._actors.shrink()


def _actor_options(options: CallOptions) -> dict[str, Any]:
    attempts = options.retries.attempts
    found: dict[str, Any] = {
        **options.resources.ray_options(),
        "max_restarts": -1 if attempts else 0,  # each lost process counts against its calls' retries, not against it
        "max_task_retries": max(attempts, 1 if options.timeout_s is not None else 0),
    }
    if options.timeout_s is not None:
        found["max_restarts"] = -1
    if options.packages:
        found["runtime_env"] = environment(options)
    return found


def _free() -> Mapping[str, float]:
    untyped: Any = ray.available_resources
    found: Mapping[str, float] = untyped()
    return found


def _has_room(options: CallOptions) -> bool:
    free = _free()
    return all(free.get(name, 0.0) >= amount for name, amount in wanted(options.resources).items() if amount)
