"""Secrets: where values come from, how long they are there, and where they never are."""

from __future__ import annotations

import asyncio
import os
import pickle
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from eagleray.runtime import secret_store
from eagleray.runtime.errors import DefinitionError, InputError, NotFoundError, StorageError
from eagleray.runtime.secret import Reveal, Secret, masked, revealed
from eagleray.runtime.settings import Settings

VALUE = "hush-" + "hush-value"
HF = Secret("hf-token")


def test_the_file_is_for_its_owner_alone(settings: Settings) -> None:
    secret_store.put(settings.home, "hf-token", VALUE)
    (file,) = [path for path in settings.home.rglob("*") if path.is_file() and path.stat().st_size]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert secret_store.get(settings.home, "hf-token") == VALUE
    assert secret_store.names(settings.home) == ["hf-token"]
    secret_store.delete(settings.home, "hf-token")
    with pytest.raises(NotFoundError, match="no secret 'hf-token'"):
        secret_store.delete(settings.home, "hf-token")
    assert VALUE not in file.read_text()


def test_wrong_values_and_files_are_one_line(settings: Settings) -> None:
    with pytest.raises(InputError, match="the value is empty"):
        secret_store.put(settings.home, "hf-token", "")
    secret_store.put(settings.home, "hf-token", VALUE)
    (settings.home / "secrets" / "secrets.json").write_text("{")
    with pytest.raises(StorageError, match="set its secrets anew"):
        secret_store.get(settings.home, "hf-token")


def test_a_secret_is_its_name() -> None:
    assert repr(HF) == "Secret(name='hf-token', env='HF_TOKEN')"
    assert Secret("x", env="Y").env == "Y"
    with pytest.raises(DefinitionError, match="give the name, not the value"):
        Secret("sk-123 456")


def test_it_is_there_only_inside(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(
        NotFoundError, match=r"no secret 'hf-token': set HF_TOKEN, or use `eagleray secret set hf-token`"
    ):
        Reveal((HF,), settings.home)().__enter__()
    secret_store.put(settings.home, "hf-token", VALUE)
    with revealed([HF], settings.home):
        assert os.environ["HF_TOKEN"] == VALUE
        with revealed([HF], settings.home):
            assert masked(f"a {VALUE} b") == "a *** b"
        assert os.environ["HF_TOKEN"] == VALUE
    assert "HF_TOKEN" not in os.environ
    assert masked(VALUE) == VALUE


def test_the_environment_comes_first_and_stays(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_store.put(settings.home, "hf-token", "another")
    monkeypatch.setenv("HF_TOKEN", VALUE)
    with revealed([HF], settings.home):
        assert os.environ["HF_TOKEN"] == VALUE
    assert os.environ["HF_TOKEN"] == VALUE


def test_functions_stay_of_their_kind(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    secret_store.put(settings.home, "hf-token", VALUE)
    reveal = Reveal((HF,), settings.home)

    def plain() -> str:
        return os.environ["HF_TOKEN"]

    def some() -> Iterator[str]:
        yield os.environ["HF_TOKEN"]

    async def later() -> str:
        return os.environ["HF_TOKEN"]

    async def stream() -> AsyncIterator[str]:
        yield os.environ["HF_TOKEN"]

    async def listed() -> list[str]:
        return [value async for value in reveal.around(stream)()]

    assert reveal.around(plain)() == VALUE
    assert list(reveal.around(some)()) == [VALUE]
    assert asyncio.run(reveal.around(later)()) == VALUE
    assert asyncio.run(listed()) == [VALUE]
    assert "HF_TOKEN" not in os.environ


def test_what_travels_holds_no_value(settings: Settings, tmp_path: Path) -> None:
    secret_store.put(settings.home, "hf-token", VALUE)
    reveal = Reveal((HF,), settings.home)
    with reveal():
        assert VALUE.encode() not in pickle.dumps(reveal)
        assert VALUE not in repr(reveal)
    assert pickle.loads(pickle.dumps(reveal)) == reveal
