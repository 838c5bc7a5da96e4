from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.runtime.errors import ServerUnavailable, StorageError
from eagleray.runtime.sql_catalog import Catalog


def test_equal_content_is_one_version_and_the_latest_put_is_active(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path}/deep/catalog.db")
    first = catalog.put("set", "cards", content_hash="a", body={"columns": ["é", None]})
    second = catalog.put("set", "cards", content_hash="b", body={})
    assert (first.version, second.version, second.active) == (1, 2, True)
    back = catalog.put("set", "cards", content_hash="a", body={"ignored": 1})
    assert (back.version, back.body) == (1, {"columns": ["é", None]})
    assert catalog.active("set", "cards") == back
    assert [(d.version, d.active) for d in catalog.versions("set", "cards")] == [(1, True), (2, False)]
    assert catalog.versions("set", "nothing") == []
    catalog.close()


def test_kinds_and_names_are_apart(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    catalog.put("set", "b", content_hash="1", body={})
    catalog.put("set", "a", content_hash="1", body={})
    catalog.put("graph", "a", content_hash="1", body={})
    assert [d.name for d in catalog.all_active("set")] == ["a", "b"]
    assert catalog.active("graph", "b") is None
    catalog.close()


def test_what_a_process_wrote_the_next_one_reads(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalog.db"
    Catalog(url).put("set", "a", content_hash="1", body={"x": 1})
    found = Catalog(url).active("set", "a")
    assert found is not None
    assert found.body == {"x": 1}


def test_a_catalog_that_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="set EAGLERAY_HOME to another"):
        Catalog(f"sqlite:///{tmp_path}/file/catalog.db")
    with pytest.raises(ServerUnavailable, match="EAGLERAY_CATALOG_URL"):
        Catalog(f"sqlite:///{tmp_path}")
