"""Functions on a real Ray Serve: deployed, called, streamed, redeployed, stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import polars as pl
import pytest

from eagleray.functions.endpoint import FunctionEndpoint
from eagleray.functions.function import Function, function
from eagleray.functions.grpc.grpc_client import GrpcClient
from eagleray.functions.http.api_keys import ApiKeys
from eagleray.functions.http.http_app import HttpOptions
from eagleray.runtime.errors import DefinitionError, DeploymentError, EaglerayError, InputError, NotFoundError
from eagleray.runtime.settings import Settings


@function(cpus=0.25, name="scaled")
def scaled(x: list[float], scale: float = 1.0) -> float:
    """Sums and scales."""
    return sum(x) * scale


@function(cpus=0.25, name="words", init={"greeting": "hello"})
class Words:
    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def setup(self) -> None:
        self.greeting += ","

    def predict(self, names: list[str]) -> Iterator[str]:
        for name in names:
            yield f"{self.greeting} {name}"
            if not name:
                raise ValueError("a name is empty")


@pytest.fixture(scope="module")
def endpoint(serving: Settings) -> Iterator[FunctionEndpoint]:
    end = scaled.deploy(settings=serving)
    yield end
    end.stop()


def test_it_answers_as_a_plain_call(endpoint: FunctionEndpoint) -> None:
    assert endpoint.url.startswith("http://127.0.0.1:")
    assert endpoint.call([1, 2.5], scale=2) == scaled([1, 2.5], scale=2)
    assert endpoint.call(x=[1]) == 1.0
    assert endpoint.status().state == "RUNNING"
    with pytest.raises(InputError, match=r"scaled: x\.0 is 'a': input should be a valid number"):
        endpoint.call(["a"])
    with pytest.raises(InputError, match="takes 2 arguments, not 3"):
        endpoint.call([1], 2, 3)
    with pytest.raises(InputError, match="'x' is given twice"):
        endpoint.call([1], x=[2])


def test_it_answers_over_grpc_as_well(endpoint: FunctionEndpoint) -> None:
    with GrpcClient(endpoint.grpc_address) as client:
        assert client.call("scaled", x=[1, 2.5], scale=2) == 7.0
        assert list(client.stream("scaled", x=[1])) == [1.0]
        with pytest.raises(InputError, match=r"scaled: x\.0 is 'a': input should be a valid number"):
            client.call("scaled", x=["a"])
        with pytest.raises(NotFoundError, match="no service 'scald'"):
            client.call("scald")


def test_the_same_content_changes_nothing_and_is_quick(endpoint: FunctionEndpoint, serving: Settings) -> None:
    began = time.monotonic()
    assert scaled.deploy(settings=serving) == endpoint
    assert time.monotonic() - began < 2


def test_a_class_streams_its_values(serving: Settings) -> None:
    words: Function[..., str] = Words  # type: ignore[assignment] # see test_stateful
    end = words.deploy(settings=serving)
    assert list(end.stream(["a", "b"])) == ["hello, a", "hello, b"]
    with GrpcClient(end.grpc_address) as client:
        assert list(client.stream("words", names=["a", "b"])) == ["hello, a", "hello, b"]
    found = end.stream(["a", ""])
    assert next(found) == "hello, a"
    assert next(found) == "hello, "
    with pytest.raises(EaglerayError, match="ValueError: a name is empty"):
        next(found)
    end.stop()


def test_tables_keys_and_packages(serving: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    @function(cpus=0.25)
    def doubled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame * 2

    end = doubled.deploy(settings=serving, http=HttpOptions(keys=ApiKeys.of(["the key"])))
    with pytest.raises(InputError, match="no valid API key"):
        end.call(pl.DataFrame({"a": [1]}))
    knows = replace(end, settings=replace(serving, api_keys=("the key",)))
    assert knows.call(pl.DataFrame({"a": [1]})) == [{"a": 2}]
    monkeypatch.setenv("EAGLERAY_API_KEYS", "the key")
    assert end.call(pl.DataFrame({"a": [1]})) == [{"a": 2}]
    end.stop()
    with pytest.raises(NotFoundError):
        end.call(pl.DataFrame({"a": [1]}))


def test_what_is_in_flight_is_answered_when_a_new_version_comes(serving: Settings) -> None:
    def version(number: int) -> Function[..., int]:
        @function(cpus=0.25, name="steady")
        def steady(wait_s: float = 0.0) -> int:
            threading.Event().wait(wait_s)
            return number

        return steady

    first = version(1).deploy(settings=serving)
    answers: list[int] = []
    wrong: list[Exception] = []
    done = threading.Event()

    def asks(call: Callable[[], int]) -> None:
        while not done.is_set():
            try:
                answers.append(call())
            except EaglerayError as error:
                wrong.append(error)

    # A service that has just started may still be reached through Serve's own proxy only; both ways speak gRPC.
    grpc_client = GrpcClient(first.grpc_address)
    calls = [lambda: first.call(0.01)] * 3 + [lambda: grpc_client.call("steady", wait_s=0.01)] * 2
    threads = [threading.Thread(target=asks, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    second = version(2).deploy(settings=serving)
    assert second.version != first.version
    while answers[-1:] != [2]:
        assert not wrong
    done.set()
    for thread in threads:
        thread.join()
    grpc_client.close()
    assert not wrong
    assert set(answers) == {1, 2}
    second.stop()


@function(cpus=0.25, name="talks")
def talks(text: str) -> int:
    print(text)
    return len(text)


def test_what_replicas_print_can_be_followed_until_they_are_gone(serving: Settings) -> None:
    end = talks.deploy(settings=serving, http=HttpOptions(access_log=True))
    assert [end.call("hello"), end.call("there")] == [5, 5]
    told = end.logs(follow=True)
    seen = [next(told)]
    while "there" not in seen or '"status":200' not in seen[-1]:
        seen.append(next(told))
    answered = [line for line in seen if '"path":"/talks"' in line and '"method":"POST"' in line]
    assert len(answered) == 2
    assert seen.index("hello") < seen.index(answered[0]) < seen.index("there") < seen.index(answered[1])
    assert [line for line in end.logs() if line in ("hello", "there")] == ["hello", "there"]
    end.stop()
    assert "hello" not in list(told)
    with pytest.raises(DeploymentError, match="talks is not deployed"):
        end.logs()


def test_what_cannot_be_deployed_is_told(serving: Settings) -> None:
    with pytest.raises(DeploymentError, match="'scaled' asks 2 GPU, the largest node has 0"):
        scaled.options(gpu=2).deploy(settings=serving)

    @function(cpus=0.25)
    class Broken:
        def setup(self) -> None:
            raise FileNotFoundError("the weights are gone")

        def predict(self) -> int:
            return 1

    with pytest.raises(DeploymentError, match=r"'Broken' did not start: .*the weights are gone"):
        Broken.deploy(settings=serving)  # type: ignore[attr-defined]

    @function
    def lost(x: Nowhere) -> int:  # type: ignore[name-defined] # noqa: F821
        return 1

    with pytest.raises(DefinitionError, match="lost: a hint cannot be read"):
        lost.deploy(settings=serving)
