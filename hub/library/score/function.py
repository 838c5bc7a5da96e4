"""A frame with a model's predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ....functions.function import function
from ....runtime.errors import InputError, ModelMismatch

if TYPE_CHECKING:
    from ....functions.models.model import Model


@function
def score(frame: pl.DataFrame, model: Model | str, *, column: str = "score") -> pl.DataFrame:
    """The frame with one more column: the model's prediction, a probability in binary classification.

    `model` is a model or its address ("models:/fraud@champion"). The frame holds the model's features under their
    names, as numbers, true/false or null; other columns stay as they are. Raises `ModelMismatch`,
    `ModelNotFound` and `InputError`.
    """
    loaded = _loaded(model) if isinstance(model, str) else model
    if column in frame.columns:
        raise InputError(f"the frame has a column {column!r} already: name another with column=...")
    if missing := [name for name in loaded.features if name not in frame.columns]:
        listed = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise ModelMismatch(f"the frame lacks features of model {loaded.name!r}: {listed}; join them in first")
    rows = frame.select(loaded.features)
    if wrong := [
        name for name, dtype in rows.schema.items() if not (dtype.is_numeric() or dtype in {pl.Boolean, pl.Null})
    ]:
        raise InputError(f"feature {wrong[0]!r} is a {rows.schema[wrong[0]]} column: turn it into numbers first")
    matrix = rows.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return frame.with_columns(pl.Series(column, loaded.predict(matrix), dtype=pl.Float64))


def _loaded(address: str) -> Model:
    from ....functions.models.model_registry import ModelRegistry
    from ....runtime.settings import Settings

    return ModelRegistry(Settings.from_env()).load(address)
