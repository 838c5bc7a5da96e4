"""`@function`: a plain Python function that also runs on Ray, one call at a time or over many items."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from ..runtime.errors import DefinitionError
from ..runtime.secret import Reveal
from ..runtime.settings import Settings
from ..runtime.stateful import Stateful
from .calls.spec import FunctionSpec, Options

if TYPE_CHECKING:
    from ..runtime.ray_actors import Actors
    from ..runtime.ray_tasks import ObjectRef, Tasks
    from ..runtime.schedule import CatchUp, Overlap
    from .endpoint import FunctionEndpoint
    from .http.http_app import HttpOptions
    from .runs.job import Job
    from .runs.schedule import Schedule
    from .runs.sweep import Sweep
    from .runs.sweep_options import Space, SweepWords
    from .runs.tracked import Tracked, TrackOptions
    from .runs.tracked_run import TrackedRun

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Function(Generic[P, R]):
    """A decorated function or class: calling it is calling the function itself; the other verbs run it on Ray.

    Of a class, one object a process is made with `init` and set up once; a call is a call of its `predict`.
    """

    spec: FunctionSpec
    __wrapped__: Callable[P, R]
    __name__: str
    __qualname__: str

    def __init__(self, fn: Callable[P, R] | type, spec: FunctionSpec) -> None:
        functools.update_wrapper(cast("Callable[..., Any]", self), cast("Callable[..., Any]", fn), updated=())
        self.spec = spec
        reveal = Reveal(spec.secrets, Settings.from_env().home) if spec.secrets else None
        made = Stateful(fn, spec.init, reveal or nullcontext) if isinstance(fn, type) else None
        if made is not None:
            self.__signature__ = made.__signature__
        elif spec.init:
            raise DefinitionError(f"{spec.name} is no class, so it takes no init=: use a default argument")
        self._fn: Callable[P, R] = made or (fn if reveal is None else reveal.around(fn))
        self._tasks: Tasks[R] | Actors[R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._fn(*args, **kwargs)

    @property
    def callable(self) -> Callable[P, R]:
        """What answers a call and travels: the function itself, or a `Stateful` (its `ready()` does the setup)."""
        return self._fn

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> ObjectRef[R]:
        """Starts one call on Ray and returns its `ray.ObjectRef` at once; `ray.get` raises the user's error type.

        Starts a local Ray (or joins `RAY_ADDRESS`) on first use; a lost worker's call runs again as `retries` says. Of
        a generator function it returns the iterable of its references. `ray.cancel` ends the call (of a class: one that
        has not begun; `close` ends them all).
        """
        return self._ray().submit(args, kwargs)

    @overload
    def map(
        self: Function[P, Iterator[T] | AsyncIterator[T] | Coroutine[Any, Any, T]],
        items: Iterable[Any],
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        **shared: Any,
    ) -> Iterator[T]: ...

    @overload
    def map(
        self, items: Iterable[Any], *, ordered: bool = True, return_exceptions: bool = False, **shared: Any
    ) -> Iterator[R]: ...

    def map(
        self, items: Iterable[Any], *, ordered: bool = True, return_exceptions: bool = False, **shared: Any
    ) -> Iterator[Any]:
        """Yields the result of each item, computed on Ray while you read; `shared` are further arguments of each call.

        Reads `items` (a generator too) only as far ahead as the cluster's slots need; small items travel in
        batches, shared arguments once. `ordered=False` gives results as they come. The first item that fails raises its
        own error, after the results before it, and unread work is cancelled; with `return_exceptions` the error
        stands in the item's place instead. Of a generator function it yields what each item's generator yields.
        """
        return self._over(items, starred=False, ordered=ordered, return_exceptions=return_exceptions, shared=shared)

    def starmap(
        self, items: Iterable[Iterable[Any]], *, ordered: bool = True, return_exceptions: bool = False, **shared: Any
    ) -> Iterator[R]:
        """As `map`, an item being the call's arguments."""
        return self._over(items, starred=True, ordered=ordered, return_exceptions=return_exceptions, shared=shared)

    def for_each(self, items: Iterable[Any], **shared: Any) -> int:
        """Calls it for each item, for what it does: results are not sent back. Returns the number of items."""
        from .calls.over import for_each

        return for_each(self._ray(), items, self.spec, shared)

    def deploy(
        self,
        *,
        canary: float | None = None,
        shadow: bool = False,
        settings: Settings | None = None,
        http: HttpOptions | None = None,
    ) -> FunctionEndpoint:
        """Serves it over HTTP at /NAME and returns when it answers; the same content again changes nothing.

        Arguments come as a JSON object by name, checked by the hints; a generator's values are sent as they come.
        Replicas ask what the function's options say, and `scale` moves their number. Where a version runs already,
        `canary=10` gives this one 10 % of the requests, `shadow=True` copies of them. Raises `DeploymentError`.
        """
        from .endpoint import deploy
        from .rollouts.rollout import Trial

        where = settings or Settings.from_env()
        return deploy(self._fn, self.spec, settings=where, http=http, trial=Trial(canary, shadow))

    def run(self, *args: P.args, **kwargs: P.kwargs) -> TrackedRun[R]:
        """Calls it in this process as a tracked run: parameters, metrics, logs, result and code are kept in MLflow.

        Raises what the function raises, after the run has been ended as FAILED. See `tracked` for where and under
        which name.
        """
        return self.tracked().run(*args, **kwargs)

    def tracked(self, **options: Unpack[TrackOptions]) -> Tracked[P, R]:
        """How its runs are kept and where they run, for instance `fn.tracked(experiment="churn", on="ray").run(x)`."""
        from .runs.tracked import tracked

        return tracked(self._fn, self.spec, options)

    def sweep(self, space: Space, *, settings: Settings | None = None, **options: Unpack[SweepWords]) -> Sweep:
        """Tracked runs over settings: lists make a grid, ranges `(low, high)` are drawn from, a list of settings is
        taken as it is. `fn.sweep({"rate": (1e-4, 1e-1, "log"), "depth": [4, 8]}, metric="auc", samples=20).best`.

        Options are those of `eagleray.functions.runs.sweep_options.SweepOptions`.
        """
        from .runs.sweep import sweep
        from .runs.sweep_options import SweepOptions

        tracked = self.tracked(settings=settings or Settings.from_env())
        return sweep(tracked, space, SweepOptions.of(self.spec.name, options))

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Starts it as a Ray job of its own, a tracked run, that goes on when this process has ended.

        Needs a Ray that does so too: `eagleray up`, or RAY_ADDRESS; raises `ServerUnavailable` where there is none.
        """
        from .runs.job import submit

        return submit(self, self.spec, args, kwargs)

    def schedule(
        self,
        *args: Any,
        every: str | None = None,
        name: str | None = None,
        timezone: str | None = None,
        catch_up: CatchUp | None = None,
        overlap: Overlap | None = None,
        **kwargs: Any,
    ) -> Schedule:
        """Runs it at its times, as a job each: `fn.schedule("0 * * * *", x)` or `fn.schedule(x, every="10m")`.

        For `timezone`, `catch_up` and `overlap` see `eagleray.Timing`, which may also be given first, in place of all
        of these keywords. The schedule is kept in the catalog and goes on when Ray starts again; the same `name`
        (default: the function's) replaces it, unless nothing has changed. Needs a Ray that stays, as `submit` does.
        """
        from .runs.schedule import Planned, schedule

        words = {"every": every, "name": name, "timezone": timezone, "catch_up": catch_up, "overlap": overlap}
        given = {word: value for word, value in words.items() if value is not None}
        plan = Planned.of(self, self.spec.name, args, given)
        return schedule(self, self.spec, replace(plan, kwargs={**plan.kwargs, **kwargs}))

    def close(self) -> None:
        """Ends the warm workers of a class; a later call starts new ones."""
        if isinstance(self._fn, Stateful):
            self._fn.close()
            if self._tasks is not None:
                cast("Actors[R]", self._tasks).close()

    def options(self, **changes: Unpack[Options]) -> Function[P, R]:
        """A copy with other needs, for instance `.options(gpu=0.5)`; the original stays as it is."""
        return Function(self.__wrapped__, self.spec.changed(changes))

    def _over(
        self,
        items: Iterable[Any],
        *,
        starred: bool,
        ordered: bool,
        return_exceptions: bool,
        shared: Mapping[str, Any],
    ) -> Iterator[R]:
        from .calls.over import Reading, over

        how = Reading(starred=starred, ordered=ordered, return_exceptions=return_exceptions)
        return over(self._ray(), items, self.spec, how, shared)

    def _ray(self) -> Tasks[R] | Actors[R]:
        if self._tasks is None:
            # Ray takes a second to import: only who leaves this process pays for it.
            if isinstance(self._fn, Stateful):
                from ..runtime.ray_actors import Actors

                self._tasks = Actors(self._fn, self.spec)
            else:
                from ..runtime.ray_tasks import Tasks

                self._tasks = Tasks(self._fn, self.spec)
        return self._tasks

    def __getstate__(self) -> dict[str, object]:
        # Ray's handles belong to this process's connection; another process makes its own.
        return {**self.__dict__, "_tasks": None}

    def _repr_html_(self) -> str:
        from .calls.card import card

        return card(self._fn, self.spec, self.__doc__)

    def __repr__(self) -> str:
        return f"<function {self.__module__}.{self.__qualname__} on Ray>"


@overload
def function(fn: Callable[P, R], /) -> Function[P, R]: ...


@overload
def function(**options: Unpack[Options]) -> Callable[[Callable[P, R]], Function[P, R]]: ...


def function(
    fn: Callable[P, R] | None = None, /, **options: Unpack[Options]
) -> Function[P, R] | Callable[[Callable[P, R]], Function[P, R]]:
    """Makes a function callable on Ray: `@function`, or `@function(cpus=2, gpu=0.25, memory="2Gi", ...)`.

    The options are those of `eagleray.functions.calls.spec.Options`. A class with `predict(...)` (and `setup()`, where
    it has state to make) is a function with state. Raises `DefinitionError` for a wrong option and for what is neither
    (a method, something callable).
    """

    def decorate(target: Callable[P, R]) -> Function[P, R]:
        _check(target)
        return Function(target, FunctionSpec(name=target.__name__).changed(options))

    return decorate if fn is None else decorate(fn)


def _check(target: object) -> None:
    if isinstance(target, Function):
        raise DefinitionError(f"{target.__name__} is decorated twice: use .options(...) for a copy with other needs")
    if isinstance(target, type):
        return
    if not inspect.isfunction(target):
        what = getattr(target, "__name__", type(target).__name__)
        raise DefinitionError(f"@function takes a function or a class; {what} is a {type(target).__name__}")
    outer = target.__qualname__.rpartition("<locals>.")[2]
    if "." in outer:
        raise DefinitionError(f"{outer} is a method: move it out of its class, or decorate the class")
