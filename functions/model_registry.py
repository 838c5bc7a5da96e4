"""Models by name, version and alias: `models:/fraud/3`, `models:/fraud@champion`."""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..runtime.errors import InputError, ModelNotFound, NotFoundError, did_you_mean
from ..runtime.settings import Settings
from .model import Model
from .run import Run, Tracker, Version
from .tracking import tracker


@dataclass(frozen=True, slots=True)
class ModelUri:
    """`models:/NAME/VERSION`, `models:/NAME@ALIAS` or `models:/NAME` (the newest version)."""

    name: str
    version: str = ""
    alias: str = ""

    @classmethod
    def parse(cls, text: str) -> ModelUri:
        """Reads a model's address; raises `InputError`."""
        match = re.fullmatch(r"models:/(?P<name>[^/@:]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))?", text)
        if match is None:
            raise InputError(f"cannot read the model address {text!r}: write 'models:/NAME@ALIAS' or 'models:/NAME/3'")
        return cls(match["name"], match["version"] or "", match["alias"] or "")


class ModelRegistry:
    """Registers, finds and promotes models; kept in MLflow (`settings.tracking`)."""

    def __init__(self, settings: Settings, *, store: Tracker | None = None) -> None:
        self._tracker = store or tracker(settings)

    def register(self, model: Model, *, run_id: str = "") -> Model:
        """Stores the model in its run's artifacts (in a run of its own without one) as the next version.

        Gives the model with its version and run; raises `StorageError` or `ServerUnavailable`.
        """
        if not re.fullmatch(r"[^/@:]+", model.name):
            raise InputError(f"a model cannot be called {model.name!r}: use a name without '/', '@' and ':'")
        if not run_id:
            run_id = self._tracker.log(Run(experiment="models", name=model.name, metrics=model.metrics)).id
        # A folder of its own: a run may register several models, and a version never changes.
        place = f"model-{uuid.uuid4().hex[:12]}"
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch, place)
            replace(model, version="", run_id=run_id).save(folder)
            self._tracker.add_folder(run_id, folder, to=place)
        made = self._tracker.add_version(model.name, run_id=run_id, folder=place)
        return replace(model, version=made.version, run_id=run_id)

    def load(self, uri: str) -> Model:
        """The model at `models:/NAME@ALIAS`, `models:/NAME/3` or `models:/NAME`; raises `ModelNotFound`."""
        found = self.find(uri)
        return replace(Model.load(self._tracker.fetch(found)), name=found.name, version=found.version)

    def predictor(self, uri: str, features: Sequence[str] = ()) -> Any:
        """Like `load`, also for XGBoost and LightGBM models that plain MLflow has logged.

        `features` names the columns of a model that does not; raises `DefinitionError` for one stored as a pickle.
        """
        found = self.find(uri)
        folder = self._tracker.fetch(found)
        # XGBoost's own JSON would be called model.json too.
        if any(folder.glob("member-*")) or not (folder / "MLmodel").exists():
            return replace(Model.load(folder), name=found.name, version=found.version)
        from .mlflow_predictor import stored

        return stored(folder, features, name=found.name, version=found.version)

    def folder(self, uri: str) -> Path:
        """The folder of that model, for `Model.load` where MLflow should not be loaded."""
        return self._tracker.fetch(self.find(uri))

    def find(self, uri: str) -> Version:
        """The registered version at that address; raises `ModelNotFound` that suggests the nearest one."""
        wanted = ModelUri.parse(uri)
        versions = self.versions(wanted.name)
        if wanted.alias:
            aliases = {alias: one for one in versions for alias in one.aliases}
            if wanted.alias not in aliases:
                raise ModelNotFound(
                    f"model {wanted.name!r} has no alias {wanted.alias!r}{did_you_mean(wanted.alias, aliases)}"
                )
            return aliases[wanted.alias]
        if wanted.version:
            for one in versions:
                if one.version == wanted.version:
                    return one
            raise ModelNotFound(
                f"model {wanted.name!r} has no version {wanted.version}; the newest is {versions[0].version}"
            )
        return versions[0]

    def versions(self, name: str) -> list[Version]:
        """The versions of a model, newest first; raises `ModelNotFound`."""
        versions = self._tracker.versions(name)
        if not versions:
            raise ModelNotFound(f"no model {name!r}{did_you_mean(name, self.names())}")
        return versions

    def names(self) -> list[str]:
        """The registered models by name."""
        return sorted(self._tracker.model_names())

    def promote(self, name: str, *, version: str, alias: str) -> Version:
        """Points `alias` to that version, away from the one it pointed to; raises `ModelNotFound`."""
        found = self.find(f"models:/{name}/{version}")
        if not re.fullmatch(r"[A-Za-z][\w-]*", alias):
            raise InputError(f"an alias cannot be {alias!r}: use letters, digits, '-' and '_', a letter first")
        try:
            self._tracker.set_alias(name, version=found.version, alias=alias)
        except NotFoundError as problem:
            raise ModelNotFound(str(problem)) from problem
        return replace(found, aliases=tuple(sorted({*found.aliases, alias})))
