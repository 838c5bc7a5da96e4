"""`@function`: the plain call unchanged, and the same function on a real Ray."""

from __future__ import annotations

import inspect
import os
import pickle
import re
import subprocess
import sys
import textwrap
import timeit
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import pytest

from eagleray.functions.function import Function, function
from eagleray.runtime.errors import DefinitionError, InputError, ServerUnavailable
from eagleray.runtime.settings import Settings

OFFSET = 10


class Refused(Exception):
    """An error type of the user's own."""


def shifted(x: int) -> int:
    return x + OFFSET


@function
def square(x: int, *, plus: int = 0) -> int:
    """Squares a number."""
    if x < 0:
        raise Refused(f"{x} is negative")
    return x * x + plus


@function(cpus=0.5, retries=2)
def via_helper(x: int) -> int:
    return shifted(square(x))


@function(timeout_s=0.2)
def endless(x: int) -> int:
    while True:
        x += 1


@function
async def later(x: int) -> int:
    return x + 1


@function(retries=2)
def dies_once(folder: str) -> str:
    """Kills its own worker the first time."""
    mark = Path(folder, "died")
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return "survived"


@function(retries=0)
def dies(x: int) -> int:
    os._exit(1)


def test_a_plain_call_and_its_metadata_are_unchanged() -> None:
    assert square(3) == 9
    assert square(3, plus=1) == 10
    assert (square.__name__, square.__doc__, square.__module__) == ("square", "Squares a number.", __name__)
    assert str(inspect.signature(square)) == "(x: 'int', *, plus: 'int' = 0) -> 'int'"
    assert isinstance(square, Function)
    assert "square on Ray" in repr(square)
    with pytest.raises(Refused):
        square(-1)


def test_a_plain_call_costs_under_a_microsecond() -> None:
    def best(fn: Callable[[int], int]) -> float:
        return min(timeit.repeat(lambda: fn(3), number=20_000, repeat=7)) / 20_000

    assert best(square) - best(square.__wrapped__) < 1e-6


def test_a_plain_call_loads_no_ray() -> None:
    code = """
        import sys
        from eagleray.functions.function import function
        @function(gpu=0.25, memory="2Gi")
        def f(x): return x + 1
        assert f(1) == 2
        assert not {"ray", "numpy", "polars", "cloudpickle"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_options_make_a_copy() -> None:
    other = square.options(cpus=2, timeout_s=5)
    assert (other.spec.resources.cpus, other.spec.timeout_s, other.spec.name) == (2, 5, "square")
    assert (square.spec.resources.cpus, square.spec.timeout_s) == (1, None)
    assert other(4) == 16


class Thing:
    """Something that is no plain function."""

    def method(self) -> int:
        return 1

    def __call__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Thing(), "takes a function or a class; Thing is a Thing"),
        (Thing.method, "Thing.method is a method"),
        (square, "square is decorated twice"),
    ],
)
def test_what_is_no_plain_function_is_refused(target: Callable[..., int], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        function(target)


def test_remote_gives_an_object_ref(ray_cluster: Settings) -> None:
    import ray

    reference = square.remote(5, plus=1)
    assert isinstance(reference, ray.ObjectRef)
    assert ray.get(reference) == 26
    reference = via_helper.remote(square.remote(2))  # type: ignore[arg-type] # arrives as the value it stands for
    assert ray.get(reference) == 16 + OFFSET
    assert ray.get(later.remote(1)) == 2  # type: ignore[comparison-overlap]
    assert ray.get(square.options(name="nine", cpus=0.1).remote(3)) == 9


def test_map_on_ray(ray_cluster: Settings) -> None:
    assert list(square.map(range(3000))) == [x * x for x in range(3000)]
    assert list(via_helper.map(iter([1, 2]))) == [1 + OFFSET, 4 + OFFSET]
    assert list(square.map([square.remote(2), 3])) == [16, 9]
    assert list(later.map([1, 2])) == [2, 3]


def test_functions_made_anywhere_run(ray_cluster: Settings) -> None:
    import ray

    base = 100

    @function
    def local(x: int) -> int:
        return base + square(x)

    @function
    def factorial(n: int) -> int:
        return 1 if n < 2 else n * factorial(n - 1)

    assert ray.get(local.remote(3)) == 109
    assert list(factorial.map([3, 5])) == [6, 120]
    space: dict[str, object] = {"__name__": "__main__", "function": function}
    exec("@function\ndef cell(x):\n    return x + len('notebook')\n", space)  # as a notebook's cell does
    cell = space["cell"]
    assert isinstance(cell, Function)
    assert ray.get(cell.remote(1)) == 9


def test_the_users_error_comes_first(ray_cluster: Settings) -> None:
    import ray

    with pytest.raises(Refused, match="-1 is negative") as caught:
        list(square.map([1, -1]))
    assert type(caught.value) is Refused
    worker = str(caught.value.__cause__)
    assert "in square" in worker
    assert "site-packages" not in worker
    assert "task_body" not in worker
    assert re.match(r"on a worker \(pid \d+ on \S+\):", worker)
    with pytest.raises(Refused) as from_get:
        ray.get(square.remote(-2))
    first_frame = next(line for line in str(from_get.value).splitlines() if "File" in line)
    assert first_frame.endswith("in square")


def test_a_missing_package_is_named_with_its_cure(ray_cluster: Settings) -> None:
    import ray

    @function(timeout_s=30)
    def needs(x: int) -> int:
        import no_such_package_of_anyone.part as part  # type: ignore[import-not-found]

        return int(part.x)

    cure = r"the worker has no 'no_such_package_of_anyone': name its package in @function\(packages=\[...\]\)"
    with pytest.raises(ModuleNotFoundError) as caught:
        list(needs.map([1]))
    assert re.search(cure, "".join(caught.value.__notes__))
    with pytest.raises(ModuleNotFoundError) as from_get:
        ray.get(needs.remote(1))
    assert re.search(cure, str(from_get.value))
    assert "task_body" not in str(from_get.value)


def test_a_time_limit_ends_the_work(ray_cluster: Settings) -> None:
    import ray

    with pytest.raises(TimeoutError, match=r"endless took longer than 0\.2 s"):
        list(endless.map([1]))
    with pytest.raises(TimeoutError, match="raise timeout_s"):
        ray.get(endless.remote(1))


def test_a_lost_worker_is_replaced(ray_cluster: Settings, tmp_path: Path) -> None:
    import ray

    assert ray.get(dies_once.remote(str(tmp_path))) == "survived"
    with pytest.raises(ServerUnavailable, match="dies: its worker died"):
        list(dies.map([1]))


def test_what_cannot_travel_is_told_in_one_line(ray_cluster: Settings) -> None:
    with pytest.raises(InputError, match="open files or locks inside the function") as caught:
        square.remote(Lock())  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    guard = Lock()

    @function
    def guarded(x: int) -> int:
        with guard:
            return x

    assert guarded(1) == 1
    with pytest.raises(InputError, match="guarded"):
        guarded.remote(1)


def test_a_function_travels_with_pickle(ray_cluster: Settings) -> None:
    import cloudpickle

    assert list(square.map([2])) == [4]  # it holds Ray's handles now, which stay here
    copy = pickle.loads(cloudpickle.dumps(square))
    assert copy(3) == 9
    assert copy.spec == square.spec
