"""The items of a map."""

from __future__ import annotations

from collections.abc import Sequence

from ...runtime.errors import InputError
from .call import Crew, Given, Input, Stored
from .contents import Contents, is_list


def items_of(over: Input, contents: Contents, crew: Crew, name: str) -> list[Input]:
    """An input an item; raises `InputError` for what is no list. What a map gave is not read for it."""
    if isinstance(over, Stored) and is_list(over.ref) and not over.path:
        return [Stored(ref, of=f"{over.of}[{place}]") for place, ref in enumerate(contents.parts(over.ref))]
    found = crew.value(over)
    if hasattr(found, "tolist") and getattr(found, "ndim", 0) >= 1:  # an array, along its first axis
        found = list(found)
    # A set has another order in another process, and a resumed run must know which item is which.
    if not isinstance(found, Sequence) or isinstance(found, str | bytes):
        raise InputError(f"{name} goes over a {type(found).__name__}: over= takes a list")
    return [Given(one) for one in found]
