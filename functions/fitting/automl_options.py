"""What can be set of a search beside label, metric, budget and time column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from ...runtime.errors import InputError
from ...runtime.settings import Settings
from ..evaluation.calibration import METHODS, Method
from ..evaluation.threshold import Capacity, Cost
from ..forecasting.horizon import Horizon
from ..models.reason_codes import ReasonCodes
from ..training.learner import LEARNERS, Learner
from ..training.search import Trial


@dataclass(frozen=True, slots=True)
class AutoMLOptions:
    """What can be set beside label, metric, budget and time column.

    `learners`: some of "xgboost", "lightgbm", "forest", "extra_trees" and "linear", or objects of your own (`Learner`);
    None for the first two, and for all five where the budget holds a hundred trials and more.
    `ignore`: columns that are no features (keys, texts). `trusted`: features that may tell the label alone, or hold
    times after the row's own, for they are known in time. `memory_bytes`: what the calling process may
    take for the table, its copies among it; a quarter of that is searched over. None for half of the free memory.
    `validation_column`: a Boolean column that is true
    where a row judges, false where it teaches, null where it is left out. `validation_gap` ("7d"): so long before the
    judged rows nothing teaches. `test_fraction` of the rows (the latest ones, with a time column) are held out of the
    search to judge its result. `folds`: nested cross-validation with so many, 0 for none; None for 5 where
    a table of less than 1,000 rows has neither a validation column nor a test fraction, and some 5 s are given.
    `calibration`: "auto", "platt", "isotonic" or "none". `threshold`: `Cost(...)` or `Capacity(...)`. `segments`:
    columns, features or not, by whose values the measures are told. `workers`: None for one a CPU of
    the cluster. `ensemble_size`: up to so many boosters are averaged where that judges as well as the best
    alone; 1 for the fastest predictions. `model_name`: empty for the label's name. `pins`: a training
    set's, kept with the model; one that is handed over as the table brings its own. `reasons`:
    `ReasonCodes(...)` that explain decisions to people. `attachments`: bytes that
    travel with the model, by file name. `on_trial` is called with each finished trial. `track` False keeps
    everything in this process. `progress` False keeps a terminal or a notebook free of the table that shows the search
    under way; elsewhere there is none.

    `horizon`: how far a forecast looks ahead.

    `resume`: a name under which the finished trials are kept in the home folder until the search has ended; the same
    call after a crash goes on from them, with what they left of the budget. `trials`: end the search after so many,
    None for as many as time allows. `deterministic`: two runs give the same trials and the same model to the byte; one
    trial at a time, and `trials` ends the search, not `budget_s`; a round counts as seconds by the table's size.
    """

    learners: Sequence[str | Learner] | None = None
    ignore: Sequence[str] = ()
    trusted: Sequence[str] = ()
    memory_bytes: int | None = None
    validation_fraction: float = 0.2
    validation_column: str | None = None
    validation_gap: str | timedelta = ""
    test_fraction: float = 0.0
    folds: int | None = None
    calibration: Method = "auto"
    threshold: Cost | Capacity | None = None
    segments: Sequence[str] = ()
    ensemble_size: int = 3
    workers: int | None = None
    seed: int = 0
    experiment: str = "automl"
    model_name: str = ""
    feature_vector: str = ""
    pins: Mapping[str, int] = field(default_factory=dict)
    reasons: ReasonCodes | None = None
    attachments: Mapping[str, bytes] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    track: bool = True
    horizon: Horizon | None = None
    settings: Settings | None = None
    on_trial: Callable[[Trial], None] | None = None
    progress: bool = True
    resume: str = ""
    trials: int | None = None
    deterministic: bool = False


DEFAULTS = AutoMLOptions()
_NUMBERS = (
    "memory_bytes", "validation_fraction", "test_fraction", "folds", "workers", "ensemble_size", "seed", "trials",
)  # fmt: skip


def check_options(budget_s: float, options: AutoMLOptions, *, task: str | None = None) -> None:
    """Raises `InputError` for what cannot be."""
    if not _is_number(budget_s) or not 0 < budget_s < float("inf"):
        raise InputError(f"budget_s is {budget_s!r}: give the seconds to search, a number above zero")
    if not isinstance(options, AutoMLOptions):
        raise InputError(f"options is a {type(options).__name__}: give automl.AutoMLOptions(track=False), say")
    for name in _NUMBERS:
        if (value := getattr(options, name)) is not None and not _is_number(value):
            raise InputError(f"options.{name} is {value!r}: give a number")
    if options.threshold is not None and not isinstance(options.threshold, Cost | Capacity):
        raise InputError(
            f"options.threshold is {options.threshold!r}: say what a mistake costs, Cost(1, 50), or how many cases one "
            "can look at, Capacity(5, per='1d')"
        )
    for name in ("learners", "ignore", "trusted", "segments"):
        if isinstance(given := getattr(options, name), str):
            raise InputError(f"options.{name} is the text {given!r}: give a list of names, [{given!r}]")
    if type(options.horizon) not in (Horizon, type(None)):
        raise InputError(f"options.horizon is {options.horizon!r}: give steps ahead as Horizon(14)")
    if options.horizon is not None and task != "forecast":
        raise InputError("options.horizon is for forecasts: say task='forecast', or leave it out")
    if options.learners is not None and not options.learners:
        raise InputError(f"options.learners is empty: name some of {', '.join(LEARNERS)}")
    if options.workers is not None and options.workers < 1:
        raise InputError(f"options.workers is {options.workers}: give at least 1, or None for one a CPU")
    if options.trials is not None and options.trials < 1:
        raise InputError(f"options.trials is {options.trials}: give at least 1, or None for as many as time allows")
    if options.deterministic and options.trials is None:
        raise InputError("a deterministic search is not ended by time: say options.trials")
    if options.deterministic and options.workers not in (None, 1):
        raise InputError("a deterministic search makes one trial at a time: leave options.workers out")
    if options.ensemble_size < 1:
        raise InputError(f"options.ensemble_size is {options.ensemble_size}: give at least 1")
    if options.calibration not in METHODS:
        raise InputError(f"no calibration {options.calibration!r}: {', '.join(map(repr, METHODS))}")
    if options.folds and (options.validation_column or options.test_fraction):
        raise InputError("folds go neither with validation_column nor with test_fraction: hold rows out in one way")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
