"""A page as headless Chromium lays it out: what it drew and where, what it loaded, what its console said."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path

_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--window-size=1200,2400")
# Put behind the page: it tells of every picture where it stands and how many marks are in it, and what was loaded.
_LOOK = """<script id="look">
const told = {
  pictures: [...document.querySelectorAll("svg")].map(one => {
    const box = one.getBoundingClientRect();
    return [box.left, box.width, box.height, one.querySelectorAll("rect,path,circle,polyline,line").length];
  }),
  headings: [...document.querySelectorAll("h2")].map(one => one.innerText),
  loaded: performance.getEntriesByType("resource").map(one => one.name),
  scripts: document.querySelectorAll("script:not(#look)").length,
  width: document.documentElement.scrollWidth,
};
document.body.setAttribute("data-told", JSON.stringify(told));
</script>"""


@dataclass(frozen=True)
class Picture:
    """An SVG as laid out, in pixels."""

    left: float
    width: float
    height: float
    marks: int


@dataclass(frozen=True)
class Seen:
    """`loaded` are the addresses of all that the page fetched; `scripts` counts those of its own."""

    pictures: list[Picture]
    headings: list[str]
    loaded: list[str]
    scripts: int
    width: float
    console: list[str]


def chromium() -> str | None:
    """Where the browser is; None where there is none."""
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


def seen(html: str, folder: Path) -> Seen:
    """The page, laid out in a window of 1200 pixels; `folder` is for what the browser writes."""
    place = folder / "seen.html"
    place.write_text(html + _LOOK)
    done = subprocess.run(
        [str(chromium()), *_OPTIONS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", place.as_uri()],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    found = re.search(r'<body data-told="([^"]*)"', done.stdout)
    assert found is not None, "the browser ran no script"
    told = json.loads(unescape(found[1]))
    pictures = [Picture(*one) for one in told.pop("pictures")]
    return Seen(pictures, **told, console=[line for line in done.stderr.splitlines() if "CONSOLE" in line])
