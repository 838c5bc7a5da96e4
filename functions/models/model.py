"""A trained model: what it expects, what it predicts and why, and how it is stored.

Stored as a folder of native formats and JSON, never pickle, so that reading a model runs no code:

    model.json                    everything but the bytes and the profile
    profile.json                  what the features looked like in training
    member-0.ubj | member-0.txt   one booster each (XGBoost's UBJSON, LightGBM's text)
    attachments/profile.bin       what travels with the model
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.errors import DefinitionError, InputError, ModelMismatch, ModelNotFound, StorageError
from ..evaluation.calibration import Calibration
from ..evaluation.metric import Task
from ..training.learner import LEARNERS, Booster, Learner, by_name, learner
from .adding_up import adding_up
from .feature_profile import FeatureProfile
from .origin import Origin
from .reason_codes import ReasonCodes
from .unread import Unread

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One booster of a model and its share of the margin; the shares of a model add up to 1.

    `suffix` is that of its file, empty for our own learners', which is known.
    """

    learner: str
    booster: Booster
    weight: float
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """Features in, predictions and contributions out; picklable, its boosters load on first use.

    `signature` maps each feature to the type it was trained on; `feature_vector` names the vector that
    yields the features; `attachments` are bytes that travel with the model, by file name. `calibration` turns
    margins into log-odds that come true; from `threshold` on (a prediction) one acts, where one was chosen.
    `intervals` hold the `metrics` 95 times of 100, where known. `origin` tells what it was made of, and `profile` what
    each feature looked like in training. `reasons` are the texts that explain a decision to people.
    """

    name: str
    task: Task
    label: str
    features: tuple[str, ...]
    members: tuple[Member, ...]
    version: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    signature: Mapping[str, str] = field(default_factory=dict)
    feature_vector: str = ""
    attachments: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    run_id: str = ""
    calibration: Calibration | None = None
    threshold: float | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)
    profile: Mapping[str, FeatureProfile] = field(default_factory=dict, repr=False)
    reasons: ReasonCodes | None = None

    def predict(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """One prediction a row: a probability (calibrated, if the model is) in classification, the value in
        regression, in ranking a score that orders the rows of a query.

        `rows` is rows x features in the order of `features`, NaN for null; raises `InputError`.
        """
        margins = self.margins(rows)
        if self.task != "classification":
            return margins
        if self.calibration is not None:
            margins = self.calibration.apply(margins)
        # Written so that no margin overflows: exp only ever sees a number below zero.
        small = np.exp(-np.abs(margins))
        out: npt.NDArray[np.float64] = np.where(margins >= 0, 1.0, small) / (1.0 + small)
        return out

    @property
    def link(self) -> str:
        """What makes a prediction of a margin: "logit" in classification, else "identity"."""
        return "logit" if self.task == "classification" else "identity"

    def margins(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """One margin a row, the members' weighted mean: log-odds before calibration in classification."""
        checked = self._checked(rows)
        total = np.zeros(len(checked))
        for member in self.members:
            total += member.weight * member.booster.margins(checked)
        return total

    def explain(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Rows x (features + 1) contributions in margin units, the last column the base value.

        A row adds up to its margin (TreeSHAP, Lundberg 2018), which is checked: `EaglerayError` otherwise. Members are
        averaged before the link function, so that this holds for several of them too.
        """
        checked = self._checked(rows)
        total = np.zeros((len(checked), len(self.features) + 1))
        for member in self.members:
            total += member.weight * member.booster.contributions(checked)
        return adding_up(total, self.margins(checked), model=self._title)

    def check_features(self, names: Sequence[str]) -> None:
        """Raises `ModelMismatch` naming the differences unless `names` are this model's features in order."""
        given = tuple(names)
        if given == self.features:
            return
        problems = []
        if missing := [name for name in self.features if name not in given]:
            problems.append(f"it lacks {_listed(missing)}")
        if extra := [name for name in given if name not in self.features]:
            problems.append(f"the model does not know {_listed(extra)}")
        if twice := sorted({name for name in given if given.count(name) > 1}):
            problems.append(f"it gives {_listed(twice)} twice")
        if not problems:
            spot = next(i for i, (a, b) in enumerate(zip(given, self.features, strict=False)) if a != b)
            problems.append(f"feature {spot + 1} is {given[spot]!r} where the model wants {self.features[spot]!r}")
        raise ModelMismatch(
            f"the features do not fit model {self._title}: {' and '.join(problems)}; "
            "train it again on this feature vector or use the vector it was trained on"
        )

    def save(self, folder: Path) -> None:
        """Writes the model as a folder, whole or not at all; raises `StorageError`, also if it exists."""
        if folder.exists():
            raise StorageError(f"cannot save model {self._title}: {folder} exists; choose another folder")
        half = folder.with_name(folder.name + ".part")
        try:
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            for name, data in self._files().items():
                (half / name).parent.mkdir(exist_ok=True)
                (half / name).write_bytes(data)
            half.rename(folder)
        except OSError as problem:
            shutil.rmtree(half, ignore_errors=True)
            raise StorageError(
                f"cannot save model {self._title} in {folder}: {problem.strerror or problem}"
            ) from problem

    @classmethod
    def load(cls, folder: Path, *, learners: Sequence[Learner] = (), unread: bool = False) -> Model:
        """Reads a model from its folder; raises `ModelNotFound` or, where a file is damaged, `InputError`.

        What a learner of someone's own has fitted is read by it, given in `learners`; nothing is imported.
        `unread` leaves all boosters alone: what the model says of itself is there, predictions are not.
        """
        own = by_name(learners)
        try:
            card = json.loads((folder / "model.json").read_text())
            if card.pop("format") != _FORMAT:
                raise InputError(f"the model in {folder} has a format of another version: upgrade eagleray")
            members = [
                Member(
                    learner=one["learner"],
                    booster=(Unread if unread else _reads(one["learner"], own, folder).booster)(
                        (folder / _plain(one["file"])).read_bytes()
                    ),
                    weight=float(one["weight"]),
                    suffix=Path(one["file"]).suffix[1:] if one["learner"] in own else "",
                )
                for one in card.pop("members")
            ]
            attached = {name: (folder / "attachments" / _plain(name)).read_bytes() for name in card.pop("attachments")}
            card["features"] = tuple(card["features"])
            if (curve := card.get("calibration")) is not None:
                card["calibration"] = Calibration.from_dict(curve)
            card["origin"] = Origin(**card.get("origin", {}))
            if (told := card.get("reasons")) is not None:
                card["reasons"] = ReasonCodes.from_dict(told)
            card["profile"] = _profile(folder / "profile.json")
            card["intervals"] = {name: (float(low), float(high)) for name, (low, high) in _ends(card).items()}
            return cls(members=tuple(members), attachments=attached, **card)
        except FileNotFoundError as problem:
            raise ModelNotFound(f"no model in {folder}: {problem.filename} is missing") from problem
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise InputError(f"the model in {folder} is damaged ({problem}): save it again") from problem

    @property
    def _title(self) -> str:
        return f"{self.name!r} version {self.version}" if self.version else repr(self.name)

    def _checked(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if rows.ndim != 2 or rows.shape[1] != len(self.features):
            raise InputError(
                f"model {self._title} wants rows x {len(self.features)} features, not {rows.shape}: "
                f"give them in the order {_listed(self.features)}"
            )
        return np.ascontiguousarray(rows, dtype=np.float32)

    def _files(self) -> dict[str, bytes]:
        names = [f"member-{i}.{one.suffix or learner(one.learner).SUFFIX}" for i, one in enumerate(self.members)]
        card = {
            "format": _FORMAT,
            "name": self.name,
            "version": self.version,
            "task": self.task,
            "label": self.label,
            "features": self.features,
            "members": [
                {"learner": one.learner, "file": file, "weight": one.weight}
                for one, file in zip(self.members, names, strict=True)
            ],
            "metrics": dict(self.metrics),
            "signature": dict(self.signature),
            "feature_vector": self.feature_vector,
            "attachments": sorted(self.attachments),
            "run_id": self.run_id,
            "calibration": self.calibration.to_dict() if self.calibration else None,
            "threshold": self.threshold,
            "origin": self.origin.to_dict(),
            "reasons": self.reasons.to_dict() if self.reasons else None,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
        }
        files = {file: one.booster.data for one, file in zip(self.members, names, strict=True)}
        if self.profile:
            files["profile.json"] = json.dumps({name: one.to_dict() for name, one in self.profile.items()}).encode()
        files |= {f"attachments/{_plain(name)}": data for name, data in self.attachments.items()}
        return files | {"model.json": json.dumps(card, indent=2).encode()}


def _ends(card: Mapping[str, Any]) -> Mapping[str, Sequence[float]]:
    """The intervals, which older models do not have."""
    found: Mapping[str, Sequence[float]] = card.get("intervals", {})
    return found


def _profile(file: Path) -> dict[str, FeatureProfile]:
    """None in older models."""
    if not file.exists():
        return {}
    return {name: FeatureProfile.from_dict(one) for name, one in json.loads(file.read_text()).items()}


def _reads(name: str, own: Mapping[str, Learner], folder: Path) -> Learner:
    """The learner of that name; raises `DefinitionError` for one that is neither ours nor given."""
    if name not in own and name not in LEARNERS:
        raise DefinitionError(
            f"the model in {folder} was fitted by a learner {name!r} that is not part of eagleray: load it with "
            f"learners=[...], an object of that learner among them"
        )
    return own.get(name) or learner(name)


def _plain(name: str) -> str:
    """The name itself if it is that of a file beside model.json, not a way out of the folder."""
    if not name or name.startswith(".") or name != Path(name).name or "\\" in name:
        raise InputError(f"a model cannot hold a file called {name!r}: use a plain file name")
    return name


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:8])
    return shown + (", ..." if len(names) > 8 else "")
