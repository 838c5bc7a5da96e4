"""Connections to servers that are named: what goes wrong is one line with the cure, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.runtime import redis_client, valkey_server
from eagleray.runtime.errors import ServerUnavailable, StorageError
from eagleray.runtime.settings import Settings


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://127.0.0.1:1/0", "cannot reach the server at 127.0.0.1:1"),
        ("http://127.0.0.1", "is no Redis address"),
    ],
)
def test_an_address_that_does_not_answer(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(ServerUnavailable, match=message):
        redis_client.connect(Settings(home=tmp_path, redis_url=url))


def test_a_wrong_password_is_not_repeated(tmp_path: Path) -> None:
    address = valkey_server.ensure(tmp_path)
    with pytest.raises(ServerUnavailable, match="refused the password") as caught:
        redis_client.connect(Settings(home=tmp_path, redis_url=f"redis://:guess@127.0.0.1:{address.port}/0"))
    assert "guess" not in str(caught.value)
    assert valkey_server.release(tmp_path)


def test_a_server_out_of_memory_is_a_storage_error(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with redis_client.connect(settings) as client:
        client.config_set("maxmemory", "1mb")
        with pytest.raises(StorageError, match="cannot write"), redis_client.translated(settings):
            client.set("b", b"x")
        with pytest.raises(StorageError, match="cannot write"), redis_client.translated(settings):
            client.pipeline(transaction=False).set("b", b"x").set("c", b"x").execute()
    assert valkey_server.release(tmp_path)
