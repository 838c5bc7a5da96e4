from __future__ import annotations

import io

from eagleray.runtime.progress import counter, track


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_the_label_and_the_count() -> None:
    terminal = Terminal()
    assert list(track([1, 2, 3], "weigh", stream=terminal)) == [1, 2, 3]
    assert "weigh" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_a_file_sees_nothing() -> None:
    out = io.StringIO()
    with counter("weigh", total=2, stream=out) as advance:
        advance(2)
    assert out.getvalue() == ""
