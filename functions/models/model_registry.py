"""Models by name, version and alias: `models:/fraud/3`, `models:/fraud@champion`."""

from __future__ import annotations

import contextlib
import re
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...runtime.errors import InputError, ModelNotFound, NotFoundError, PromotionRefused, did_you_mean
from ...runtime.settings import Settings
from ..runs.run import Run, Tracker, Version
from ..runs.tracking import tracker
from ..training.learner import Learner
from .comparison import Comparison
from .gate import Gate, refusals
from .model import Model
from .registered import Registered

# At a model in MLflow: the versions an alias pointed to before, oldest first.
_BEFORE = "eagleray.before."
_REMEMBERED = 50


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
    """Registers, finds, compares and promotes models; kept in MLflow (`settings.tracking`).

    `settings` None: those of the environment. Where an address is asked for, `fraud`, `fraud/3` and `fraud@champion`
    do as well as `models:/fraud@champion`.
    """

    def __init__(self, settings: Settings | None = None, *, store: Tracker | None = None) -> None:
        self._tracker = store or tracker(settings or Settings.from_env())

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

    def load(self, uri: str, *, learners: Sequence[Learner] = ()) -> Model:
        """The model at `models:/NAME@ALIAS`, `models:/NAME/3` or `models:/NAME`; raises `ModelNotFound`.

        `learners`: those of one's own that fitted it (see `Model.load`).
        """
        found = self.find(uri)
        return replace(
            Model.load(self._tracker.fetch(found), learners=learners), name=found.name, version=found.version
        )

    def predictor(self, uri: str, features: Sequence[str] = (), *, allow_pickle: bool = False) -> Any:
        """Like `load`, also for models that plain MLflow has logged: what it gives is for `g.predict`.

        `features` names the columns of a model that does not. XGBoost's and LightGBM's own formats are read; what is
        stored as a pickle, which can run any code when it is read, only with `allow_pickle`, else `DefinitionError` is
        raised.
        """
        found = self.find(uri)
        folder = self._tracker.fetch(found)
        if _is_ours(folder):
            return replace(Model.load(folder), name=found.name, version=found.version)
        from .mlflow_predictor import stored

        return stored(folder, features, name=found.name, version=found.version, allow_pickle=allow_pickle)

    def folder(self, uri: str) -> Path:
        """The folder of that model, for `Model.load` where MLflow should not be loaded."""
        return self._tracker.fetch(self.find(uri))

    def find(self, uri: str) -> Version:
        """The registered version at that address; raises `ModelNotFound` that suggests the nearest one."""
        wanted = ModelUri.parse(uri if uri.startswith("models:") else f"models:/{uri}")
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

    def show(self, uri: str) -> Registered:
        """All that is known of a version, whose model does not predict (see `load`); raises `ModelNotFound`."""
        found = self.find(uri)
        folder = self._tracker.fetch(found)
        run = None
        if found.run_id:
            with contextlib.suppress(NotFoundError):  # the run may be deleted, the version lives on
                run = self._tracker.read(found.run_id)
        model = None
        if _is_ours(folder):  # unread: the learner may be someone's own, which is not here
            model = replace(Model.load(folder, unread=True), name=found.name, version=found.version)
        return Registered(found, model, run)

    def compare(self, first: str, second: str) -> Comparison:
        """What differs from the first version to the second; raises `ModelNotFound`."""
        return Comparison.of(self.show(first), self.show(second))

    def promote(self, name: str, *, version: str, alias: str, gates: Sequence[Gate] = ()) -> Version:
        """Points `alias` to that version, away from the one it pointed to, which `rollback` goes back to.

        Raises `ModelNotFound`; `PromotionRefused`, with the figures, for a model that one of the `gates` stops.
        """
        found = self.find(f"models:/{name}/{version}")
        if not re.fullmatch(r"[A-Za-z][\w-]*", alias):
            raise InputError(f"an alias cannot be {alias!r}: use letters, digits, '-' and '_', a letter first")
        if reasons := self._refusals(found, gates):
            raise PromotionRefused(f"{name}/{version} does not become {alias}: {'; '.join(reasons)}")
        now = self._holder(name, alias)
        if now is not None and now.version != found.version:
            self._remember(name, alias, [*self._before(name, alias), now.version])
        self._point(found, alias)
        return replace(found, aliases=tuple(sorted({*found.aliases, alias})))

    def rollback(self, name: str, *, alias: str = "champion") -> Version:
        """Points `alias` back to the version it pointed to before; again, and to the one before that.

        Versions that were deleted meanwhile are passed over. Raises `ModelNotFound` where there is none before.
        """
        now = self.find(f"models:/{name}@{alias}")
        known = {one.version: one for one in self.versions(name)}
        before = self._before(name, alias)
        while before and (before[-1] == now.version or before[-1] not in known):
            before.pop()
        if not before:
            raise ModelNotFound(
                f"{alias!r} of model {name!r} pointed to nothing before version {now.version}; promote another version"
            )
        back = known[before.pop()]
        # The alias first: what is left behind by a crash between the two is passed over the next time.
        self._point(back, alias)
        self._remember(name, alias, before)
        return replace(back, aliases=tuple(sorted({*back.aliases, alias})))

    def _refusals(self, found: Version, gates: Sequence[Gate]) -> list[str]:
        if not gates:
            return []
        others = {}
        for alias in {gate.better_than for gate in gates if gate.better_than}:
            holder = self._holder(found.name, alias)
            if holder is not None and holder.version != found.version:  # nobody is better than himself
                others[alias] = self.show(f"{found.name}/{holder.version}").metrics
        return refusals(gates, self.show(f"{found.name}/{found.version}").metrics, others)

    def _holder(self, name: str, alias: str) -> Version | None:
        return next((one for one in self.versions(name) if alias in one.aliases), None)

    def _point(self, to: Version, alias: str) -> None:
        try:
            self._tracker.set_alias(to.name, version=to.version, alias=alias)
        except NotFoundError as problem:
            raise ModelNotFound(str(problem)) from problem

    def _before(self, name: str, alias: str) -> list[str]:
        told = self._tracker.tags(name).get(_BEFORE + alias, "")
        return [one for one in told.split(",") if one]

    def _remember(self, name: str, alias: str, versions: Sequence[str]) -> None:
        self._tracker.set_tag(name, key=_BEFORE + alias, value=",".join(versions[-_REMEMBERED:]))


def _is_ours(folder: Path) -> bool:
    """True for a folder that `Model.save` wrote: XGBoost's own JSON would be called model.json, too."""
    return any(folder.glob("member-*")) or not (folder / "MLmodel").exists()
