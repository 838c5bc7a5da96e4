"""Memory that this process has freed but still holds."""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Hands freed memory back to the system, as far as the C library can (glibc does so by itself at the top only)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
