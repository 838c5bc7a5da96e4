"""What can be told about a user's function before it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .event import Event


def is_async(subject: Any) -> bool:
    """True for async functions, for objects whose call is one, and for classes of such objects."""
    if isinstance(subject, type):
        return inspect.iscoroutinefunction(subject.__call__)
    return inspect.iscoroutinefunction(subject) or inspect.iscoroutinefunction(getattr(type(subject), "__call__", None))  # noqa: B004


def takes_event(subject: Callable[..., Any]) -> bool:
    """True where the first parameter is called `event`, or hinted as one."""
    try:
        first = next(iter(inspect.signature(subject).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    return first is not None and (first.name == "event" or first.annotation in (Event, "Event"))


def made(subject: Any) -> Any:
    """The function itself, or the object of a class, set up."""
    found = subject() if isinstance(subject, type) else subject
    if hasattr(found, "setup"):
        found.setup()
    ready = getattr(found, "ready", None)  # a class decorated with @function
    return ready() if ready is not None else found
