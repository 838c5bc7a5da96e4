"""A registered version with all that is known of it: the model, the run that made it, its place and aliases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ..runs.run import Run, Version
from .feature_profile import FeatureProfile
from .model import Model


@dataclass(frozen=True, slots=True)
class Registered:
    """`model` is None for one that plain MLflow has logged, `run` None where the run is gone."""

    version: Version
    model: Model | None = None
    run: Run | None = None

    @property
    def address(self) -> str:
        """`models:/NAME/VERSION`."""
        return f"models:/{self.version.name}/{self.version.version}"

    @property
    def metrics(self) -> Mapping[str, float]:
        """The model's own measures, else those of its run."""
        if self.model is not None and self.model.metrics:
            return self.model.metrics
        return {} if self.run is None else self.run.metrics

    @property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """The 95 % intervals of the measures, where they are known."""
        return {} if self.model is None else self.model.intervals

    @property
    def features(self) -> tuple[str, ...]:
        """In the model's order."""
        return () if self.model is None else self.model.features

    @property
    def settings(self) -> Mapping[str, str]:
        """What the model was made with: the run's parameters and the shape of the model."""
        told = {} if self.run is None else {name: str(value) for name, value in self.run.params.items()}
        if (model := self.model) is not None:
            told["members"] = ", ".join(f"{one.learner} x {one.weight:.4g}" for one in model.members)
            told["calibration"] = "none" if model.calibration is None else str(model.calibration.to_dict()["method"])
            told["threshold"] = "none" if model.threshold is None else f"{model.threshold:.6g}"
            told["feature_vector"] = model.feature_vector or "none"
        return told

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON and the shell."""
        made, model = self.version, self.model
        told: dict[str, object] = {
            "name": made.name,
            "version": made.version,
            "aliases": list(made.aliases),
            "run": made.run_id,
            "created": datetime.fromtimestamp(made.created_ms / 1000, UTC).isoformat(timespec="seconds"),
            "source": made.source,
            "metrics": {name: self.measure(name) for name in self.metrics},
            "settings": dict(self.settings),
        }
        if model is not None:
            told |= {
                "task": model.task,
                "label": model.label,
                "features": {name: model.signature.get(name, "") for name in model.features},
                "profile": {name: _told(one) for name, one in model.profile.items()},
                "origin": model.origin.to_dict(),
                "reasons": model.reasons.to_dict() if model.reasons else None,
                "attachments": {name: f"{len(data)} bytes" for name, data in model.attachments.items()},
            }
        if self.run is not None:
            told["tags"] = dict(self.run.tags)
        return told

    def measure(self, name: str) -> dict[str, float | None]:
        """A measure's value (None for one that could not be computed), with low and high where they are known."""
        value = self.metrics[name]
        told: dict[str, float | None] = {"value": None if math.isnan(value) else value}
        if name in self.intervals:
            told["low"], told["high"] = self.intervals[name]
        return told


def _told(one: FeatureProfile) -> dict[str, float | None]:
    """A profile without its quantiles but three."""
    at = one.quantiles
    least, median, most = (at[0], at[len(at) // 2], at[-1]) if at else (None, None, None)
    return {"rows": one.rows, "nulls": one.nulls, "minimum": least, "median": median, "maximum": most, "mean": one.mean}
