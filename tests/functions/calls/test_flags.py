"""The words after FILE:FN, and the function that FILE:FN names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eagleray import Function
from eagleray.functions.calls.flags import FlagError, parsed, usage
from eagleray.functions.calls.pydantic_signature import Signature
from eagleray.functions.loading import load
from eagleray.runtime.errors import InputError, NotFoundError


def fit(max_depth: int, names: list[str] | None = None, rate: float = 0.1, fast: bool = False) -> None:
    """Fits.

    Much more.
    """


SIGNATURE = Signature.of(fit)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--max-depth 3", {"max_depth": 3}),
        ("--max_depth=-3 --rate -0.5", {"max_depth": -3, "rate": -0.5}),
        ("--max-depth 3 --fast", {"max_depth": 3, "fast": True}),
        ("--fast --max-depth 3 --no-fast", {"max_depth": 3, "fast": False}),
        ('--max-depth 3 --names ["a","b"]', {"max_depth": 3, "names": ["a", "b"]}),
        ("--max-depth 3 --names a --names b", {"max_depth": 3, "names": ["a", "b"]}),
    ],
)
def test_flags_become_arguments(words: str, expected: dict[str, object]) -> None:
    _, kwargs = parsed(SIGNATURE, words.split())
    assert kwargs == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--max-dept 3", "no flag --max-dept; did you mean 'max-depth'"),
        ("3", "'3' stands alone"),
        ("--max-depth deep", "max_depth is 'deep'"),
        ("", "needs 'max_depth'"),
    ],
)
def test_what_does_not_fit_is_one_line(words: str, message: str) -> None:
    with pytest.raises(FlagError, match=message) as caught:
        parsed(SIGNATURE, words.split())
    assert "\n" not in str(caught.value)


def test_usage_is_the_signature() -> None:
    text = usage(SIGNATURE, fit.__doc__)
    assert text.startswith("fit\nFits.\n\n")
    assert "Much more" not in text
    assert "--max-depth  int" in text
    assert "required" in text
    assert "default: 0.1" in text


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "beside_it.py").write_text("ONE = 1\n")
    file = tmp_path / "trainer_of_flags.py"
    file.write_text("from beside_it import ONE\nVALUE = 7\ndef fit(x: int) -> int:\n    return x + ONE\n")
    before = list(sys.path)
    yield file
    sys.path[:] = before
    for name in ("beside_it", "trainer_of_flags"):
        sys.modules.pop(name, None)


def test_a_file_is_loaded_with_what_is_beside_it(trainer: Path) -> None:
    found = load(f"{trainer}:fit")
    assert isinstance(found, Function)
    assert found(1) == 2


def test_what_is_not_there_names_what_is(trainer: Path) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'fit'"):
        load(f"{trainer}:fitt")
    with pytest.raises(NotFoundError, match=r"did you mean 'trainer_of_flags.py'"):
        load(f"{trainer.parent / 'trainer_of_flag.py'}:fit")
    with pytest.raises(NotFoundError, match="no module 'nowhere'"):
        load("nowhere:fit")
    with pytest.raises(InputError, match="write FILE:FN"):
        load("fit")
    with pytest.raises(InputError, match="is a int"):
        load(f"{trainer}:VALUE")
