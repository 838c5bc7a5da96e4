"""A text written where the user says."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.runtime.errors import StorageError
from eagleray.runtime.text_file import write_text


def test_it_is_utf8_and_its_place_is_given_back(tmp_path: Path) -> None:
    place = write_text(str(tmp_path / "a.txt"), "é\n")
    assert place.read_bytes() == b"\xc3\xa9\n"


def test_a_place_that_cannot_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no/a.txt \(No such file or directory\): choose another place"):
        write_text(tmp_path / "no" / "a.txt", "")
    with pytest.raises(StorageError, match="Is a directory"):
        write_text(tmp_path, "")
