"""One inference of the Open Inference Protocol V2: what is asked and what is answered, in whatever form it travels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .v2_tensors import Tensor


@dataclass(frozen=True, slots=True)
class InferRequest:
    """Inputs, and the outputs that are asked for by name (none: all), each as binary data or not.

    With `is_raw` outputs are binary where nobody said (JSON), or as raw contents (protobuf).
    """

    inputs: Sequence[Tensor]
    id: str = ""
    outputs: tuple[tuple[str, bool], ...] = ()
    is_raw: bool = False


@dataclass(frozen=True, slots=True)
class InferReply:
    """Outputs, in the order they were asked for; `id` is the request's."""

    model: str
    version: str
    outputs: Sequence[Tensor]
    id: str = ""
