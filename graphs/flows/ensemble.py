"""Several models that score together: one stage, one matrix of scores, one rule that makes one score of each row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np

from ...runtime.bundle import content_hash
from ...runtime.errors import DefinitionError, InputError, did_you_mean
from .learned import learned
from .ports import Floats, Predictor

Rule = Literal["mean", "median", "vote", "max", "margins"]
Combine = Rule | Callable[[Floats], Any]
_RULES = ("mean", "median", "vote", "max", "margins")
_WEIGHTED = ("mean", "vote", "margins")
_LINKS: Mapping[str, Callable[[Floats], Floats]] = {
    "identity": lambda margins: margins,
    "logit": lambda margins: 1.0 / (1.0 + np.exp(-np.clip(margins, -80, 80))),
    "log": np.exp,
}


@dataclass(frozen=True, slots=True)
class Members:
    """An ensemble as it is declared: its models, or their addresses, by name."""

    models: tuple[tuple[str, Any], ...]
    combine: Combine
    weights: tuple[float, ...] = ()

    @classmethod
    def of(cls, models: Mapping[str, Any], *, combine: Any, weights: Mapping[str, float] | None) -> Self:
        """Checked; raises `DefinitionError`."""
        if len(models) < 2:
            raise DefinitionError(f"an ensemble of {len(models)} model: give it at least two, by name")
        if not callable(combine) and combine not in _RULES:
            raise DefinitionError(f"no rule {combine!r}{did_you_mean(str(combine), _RULES)}")
        if weights is None:
            return cls(tuple(models.items()), combine)
        if combine not in _WEIGHTED:
            raise DefinitionError(f"weights go with combine={', '.join(map(repr, _WEIGHTED))}; leave them out")
        for name in models:
            if name not in weights:
                raise DefinitionError(f"model {name!r} has no weight: give one to each model of the ensemble")
        for name, weight in weights.items():
            if name not in models:
                raise DefinitionError(f"the ensemble has no model {name!r}{did_you_mean(name, models)}")
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
                raise DefinitionError(f"the weight of {name!r} is {weight!r}: give a number, not negative")
        if not sum(weights.values()):
            raise DefinitionError("all weights are 0: nothing would be scored")
        return cls(tuple(models.items()), combine, tuple(float(weights[name]) for name in models))

    def ready(self, find: Callable[[Any], Predictor]) -> Ensemble:
        """The ensemble, each model found by `find`; raises `DefinitionError`."""
        return Ensemble(tuple((name, find(model)) for name, model in self.models), self.combine, self.weights)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Models that score together, as one: a `Predictor`. Its features are those of all members, each once.

    `matrix` is rows x members (x classes); `tells` asks the predict stage to hand on each member's score.
    """

    members: tuple[tuple[str, Predictor], ...]
    combine: Combine
    weights: tuple[float, ...] = ()
    tells: bool = False
    features: tuple[str, ...] = field(init=False)
    _columns: tuple[list[int] | None, ...] = field(init=False, repr=False, compare=False)
    _shares: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        features = tuple(dict.fromkeys(name for _, model in self.members for name in model.features))
        places = {name: place for place, name in enumerate(features)}
        columns = tuple(
            None if tuple(model.features) == features else [places[name] for name in model.features]
            for _, model in self.members
        )
        shares = np.array(self.weights or [1.0] * len(self.members))
        for name, value in (("features", features), ("_columns", columns), ("_shares", shares / shares.sum())):
            object.__setattr__(self, name, value)
        if self.combine == "margins":
            links = {name: _link(model) for name, model in self.members}
            if len(set(links.values())) > 1 or not set(links.values()) <= _LINKS.keys():
                told = ", ".join(f"{name}: {link or 'none'}" for name, link in links.items())
                raise DefinitionError(f"margins of different links cannot be averaged ({told}); take combine='mean'")

    name = "ensemble"
    version = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names."""
        return tuple(name for name, _ in self.members)

    @property
    def explains(self) -> bool:
        """True where the score is a weighted sum of margins with the same link: then parts add up."""
        is_sum = self.combine == "margins" or (
            self.combine == "mean" and all(_link(model) == "identity" for _, model in self.members)
        )
        return is_sum and all(getattr(model, "explains", True) for _, model in self.members)

    @property
    def carries(self) -> tuple[Any, ...]:
        """What has code that may be the user's own."""
        models = [model for _, model in self.members]
        inside = [one for model in models for one in getattr(model, "carries", ())]
        return (*models, *inside, *((self.combine,) if callable(self.combine) else ()))

    def telling(self) -> Ensemble:
        """The same, whose members' scores are handed on."""
        return replace(self, tells=True)

    def matrix(self, rows: Floats) -> Floats:
        """What each member says (margins, where these are averaged); raises `DefinitionError` for unequal classes."""
        found = []
        for (_, model), columns in zip(self.members, self._columns, strict=True):
            asked: Any = model
            ask = asked.margins if self.combine == "margins" else asked.predict
            found.append(ask(rows if columns is None else rows[:, columns]))
        if len({one.shape for one in found}) > 1:
            told = ", ".join(
                f"{name}: {one.shape[1:] or 'one score'}" for name, one in zip(self.names, found, strict=True)
            )
            raise DefinitionError(f"models of an ensemble must score the same classes ({told}); leave one out")
        return np.stack(found, axis=1)

    def combined(self, matrix: Floats) -> Floats:
        """One score a row (one a class, where the members have classes)."""
        rule = self.combine
        if callable(rule):
            out = np.asarray(rule(matrix), dtype=np.float64)
            if out.ndim not in (1, 2) or len(out) != len(matrix):
                raise DefinitionError(f"combine made {out.shape} of {matrix.shape} scores: return one score a row")
            return out
        if rule == "median":
            return np.median(matrix, axis=1)
        if rule == "max":
            found: Floats = matrix.max(axis=1)
            return found
        if rule == "vote":
            is_class = matrix.ndim == 3
            votes = np.eye(matrix.shape[2])[matrix.argmax(axis=2)] if is_class else (matrix >= 0.5).astype(np.float64)
            return self._weighted(votes)
        mean = self._weighted(matrix)
        return _LINKS[_link(self.members[0][1])](mean) if rule == "margins" else mean

    def predict(self, rows: Floats) -> Floats:
        """One score a row (one a class, where the members have classes)."""
        return self.combined(self.matrix(rows))

    def explain(self, rows: Floats) -> Floats:
        """Rows x (features + 1): the members' parts, weighted; raises `InputError` where they would not add up."""
        if not self.explains:
            raise InputError(
                "the score of this ensemble does not come apart into one part a feature: take combine='margins' "
                "(or the mean of models of plain values) with models that can be explained"
            )
        out = np.zeros((len(rows), len(self.features) + 1))
        for (_, model), columns, share in zip(self.members, self._columns, self._shares, strict=True):
            if columns is None:
                out += share * model.explain(rows)
                continue
            parts = share * model.explain(rows[:, columns])
            out[:, columns] += parts[:, :-1]
            out[:, -1] += parts[:, -1]
        return out

    def content(self) -> str:
        """A hash of what the members have learned, and of the rule."""
        rule = content_hash(self.combine) if callable(self.combine) else self.combine
        told = [(name, model.features, learned(model)) for name, model in self.members]
        return hashlib.sha256(f"{told}{rule}{self._shares.tolist()}{self.tells}".encode()).hexdigest()

    def _weighted(self, matrix: Floats) -> Floats:
        out: Floats = np.tensordot(matrix, self._shares, axes=(1, 0))
        return out


def _link(model: Any) -> str:
    return str(getattr(model, "link", ""))
