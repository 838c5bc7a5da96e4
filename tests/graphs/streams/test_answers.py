"""One contract for where answers go."""

import uuid
from collections.abc import Iterator

import pytest

from eagleray.graphs.streams.answers import Answer, Answers, MemoryAnswers
from eagleray.graphs.streams.redis_answers import open_answers
from eagleray.runtime import redis_client
from eagleray.runtime.errors import DefinitionError, Fenced
from eagleray.runtime.settings import Settings


class Kept:
    """Answers and a look at them."""

    def __init__(self, settings: Settings | None) -> None:
        self.stream = f"out-{uuid.uuid4().hex}"
        self.settings = settings
        self.answers: Answers = MemoryAnswers() if settings is None else open_answers(self.stream, settings)

    def seen(self) -> list[tuple[str, bytes]]:
        if isinstance(self.answers, MemoryAnswers):
            return [(one.id, one.data) for one in self.answers.put_so_far]
        assert self.settings is not None
        with redis_client.connect(self.settings) as client:
            return [(fields[b"id"].decode(), fields[b"answer"]) for _, fields in client.xrange(self.stream)]


@pytest.fixture(params=["memory", "valkey", "redis_server"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    made = Kept(None if request.param == "memory" else request.getfixturevalue(request.param))
    yield made
    made.answers.close()


def test_an_answer_is_there_once_however_often_it_is_put(kept):
    large = 2**52
    one, two, three = (Answer(number, f"e{number}", b"%d" % number) for number in (0, 7, large))
    kept.answers.put("a:0", [one, two], since=-1, upto=8)
    kept.answers.put("a:0", [one, two, three], since=-1, upto=large)
    kept.answers.put("a:1", [one], since=-1, upto=0)
    kept.answers.put("a:0", [two, three], since=0, upto=large)
    assert kept.seen() == [("e0", b"0"), ("e7", b"7"), (f"e{large}", b"%d" % large), ("e0", b"0")]
    kept.answers.put("b", [Answer(number, "x", b"y") for number in range(1200)], since=-1, upto=1300)
    assert len(kept.seen()) == 1204
    assert [kept.answers.come(source) for source in ("a:0", "a:1", "b", "c")] == [large, 0, 1300, -1]


def test_who_knows_more_than_the_server_hears_of_it(kept):
    """Else what it had put before, and the server lost, would be taken for put."""
    kept.answers.put("a", [], since=-1, upto=5)
    with pytest.raises(Fenced, match="started anew"):
        kept.answers.put("a", [Answer(7, "x", b"y")], since=6, upto=7)
    assert kept.seen() == []
    kept.answers.put("a", [Answer(6, "x", b"y")], since=5, upto=6)
    assert kept.seen() == [("x", b"y")]


def test_an_address_names_server_and_stream(valkey):
    for wrong in ("http://localhost/x", "redis://localhost", "redis:///x"):
        with pytest.raises(DefinitionError, match="write redis://HOST:PORT/STREAM"):
            open_answers(wrong, valkey)
