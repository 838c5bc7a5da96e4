"""What a service and its parts are as bytes, and how releases keep them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from eagleray.functions.http.http_app import HttpApp, HttpFace
from eagleray.functions.http.openapi import document
from eagleray.functions.rollouts.releases import Releases
from eagleray.functions.rollouts.service import Service, ServicePart
from eagleray.functions.rollouts.stable_front import StableFront
from eagleray.runtime.errors import InputError
from eagleray.runtime.resources import Resources


class Echo:
    """A part's application."""

    async def answer(self, asked: bytes) -> bytes:
        return b"echo " + asked


def service() -> Service:
    live: dict[str, Any] = {}

    def build(calls: Any) -> HttpApp:
        async def rehearse() -> None:
            live["answer"] = await calls["echo"](b"warm", True)

        return HttpApp(
            HttpFace(
                "parted",
                {},
                document("parted", {}),
                configure=live.update,
                warm_up=rehearse,
                close=lambda: live.clear(),
            )
        )

    # The environment has pytest, so nothing is installed for it.
    part = ServicePart("echo", Echo, "echo 1", modules=(__name__,), packages=("pytest",), resources=Resources(0.1))
    return Service("parted", build, "c" * 12, "identity 1", modules=(__name__,), parts=(part,))


def test_parts_travel_apart_and_are_called_by_name() -> None:
    made = service()
    release, packed = made.release(), made.packed()
    assert list(packed) == [release.build, release.parts[0].build]
    echo = cloudpickle.loads(packed[release.parts[0].build])()

    async def call(asked: bytes, may_repeat: bool) -> bytes:
        answer: bytes = await echo.answer(asked)
        return answer

    front = cloudpickle.loads(packed[release.build])({"echo": call})
    assert isinstance(front, StableFront)
    front.configure({"canary_url": "", "canary_percent": 0.0, "shadow_url": "", "live": {"most": 1}})
    asyncio.run(front.warm_up())
    live = front._app._face.configure.__self__  # type: ignore[attr-defined] # a dict's method
    assert live == {"most": 1, "answer": b"echo warm"}


def test_a_release_keeps_its_parts_and_its_settings(tmp_path: Path) -> None:
    made = service()
    releases = Releases(f"sqlite:///{tmp_path}/catalog.db")
    first = releases.keep(made.release(), made.packed())
    assert releases.release("parted", 1) == first
    assert first.parts == made.release().parts
    assert releases.packed(first) == made.packed()
    other = replace(made, parts=(replace(made.parts[0], identity="echo 2"),))
    second = releases.keep(other.release(), other.packed())
    assert (second.number, second.build) == (2, first.build)

    assert releases.live(first) == {}
    for settings in ({"limits": {"most": 1}}, {}, {"limits": {"most": 1}}):
        releases.set_live(first, settings)
        assert (releases.live(first), releases.live(second)) == (settings, {})
    with pytest.raises(InputError, match="settings must be plain JSON values"):
        releases.set_live(first, {"limits": {"most": object()}})
    releases.close()
