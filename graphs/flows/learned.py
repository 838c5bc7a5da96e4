"""What a model has learned, for the version of a graph: a model may be trained again under the same name."""

from __future__ import annotations

import hashlib
from typing import Any

from ...runtime.bundle import content_hash


def learned(model: Any) -> str:
    """Text to hash: what the model says of itself, else its boosters' bytes, else the code of its class."""
    content = getattr(model, "content", None)
    if callable(content):
        return str(content())
    members = getattr(model, "members", None)
    if members is None:
        return content_hash(type(model))
    return repr([(m.learner, m.weight, hashlib.sha256(m.booster.data).hexdigest()) for m in members])
