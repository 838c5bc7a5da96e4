"""The pages under docs: their code runs as it stands, and their pictures are those of their code."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from eagleray.runtime.settings import Settings

DOCS = Path(__file__).parent.parent / "docs"
_SECTION = re.compile(r"^## (.+?)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
# What each page's examples call the thing they draw.
_DRAWN = {"graphs": "g", "pipelines": "p"}


@pytest.mark.parametrize("page", sorted(_DRAWN))
def test_every_pattern_runs_and_is_drawn_as_shown(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAGLERAY_HOME", str(tmp_path))
    space: dict[str, Any] = {"__name__": f"{page}_page"}
    for title, text in _SECTION.findall((DOCS / f"{page}.md").read_text()):
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(compile(block, f"docs/{page}.md, {title}", "exec"), space)
            (target,) = re.findall(r"!\[.*?\]\((pictures/.*?\.svg)\)", text)
            assert target == f"pictures/{title.lower().replace(' ', '-')}.svg"
            # `graph.plot().save(...)` draws it anew where this fails.
            assert (DOCS / target).read_text() == space[_DRAWN[page]].plot().svg, f"docs/{target} is not what it draws"


@pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning",  # MLflow's models use a loader SQLAlchemy 2.1 deprecates
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)
def test_the_page_on_automl_runs_as_it_stands(
    ray_cluster: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EAGLERAY_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the page puts its files
    space: dict[str, Any] = {"__name__": "automl_page"}
    blocks = re.findall(r"^## (.+?)$|```python\n(.*?)```", (DOCS / "automl.md").read_text(), re.MULTILINE | re.DOTALL)
    title = ""
    for heading, block in blocks:
        title = heading or title
        if block:
            exec(compile(block, f"docs/automl.md, {title}", "exec"), space)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_what_pages_point_to_is_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} points to {target}, which is not there"
