"""`eagleray models`: the registered models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.rich_output import show_json, show_one, show_rows
from ..runtime.settings import Settings
from ..runtime.typer_options import AsJson

if TYPE_CHECKING:
    from .models.comparison import Comparison
    from .models.feature_profile import FeatureProfile
    from .models.gate import Gate
    from .models.model_registry import ModelRegistry
    from .models.registered import Registered

app = typer.Typer(no_args_is_help=True, help="The registered models.")

Alias = Annotated[str, typer.Option(help="The alias to move.")]
Which = Annotated[str, typer.Argument(help="NAME (the newest version), NAME/3 or NAME@champion.")]


@app.callback()
def _group() -> None:
    pass


@app.command("list")
def list_versions(as_json: AsJson = False) -> None:
    """List every registered model's versions."""
    rows: list[dict[str, object]] = []
    if (models := _registry()) is not None:
        versions = [found for name in models.names() for found in models.versions(name)]
        rows = [
            {"name": found.name, "version": found.version, "aliases": list(found.aliases), "run": found.run_id}
            for found in versions
        ]
    show_rows(rows, as_json=as_json, empty="no model is registered yet: automl.fit(...) registers one")


@app.command()
def show(model: Which, as_json: AsJson = False) -> None:
    """Show all that is known of a version: measures, features, settings, where it comes from."""
    found = _there(model).show(model)
    told = found.to_dict()
    columns = _columns(found)
    if not as_json:
        for name in ("features", "profile", "source"):
            told.pop(name, None)
        told["metrics"] = {name: _figure(found.metrics[name], found.intervals.get(name)) for name in found.metrics}
    show_one(told, as_json=as_json)
    if columns and not as_json:
        print("features:")
        show_rows(columns, as_json=False, empty="")


@app.command()
def compare(first: Which, second: Which, as_json: AsJson = False) -> None:
    """Show what differs from the first version to the second: measures side by side, features, settings."""
    found = _there(first).compare(first, second)
    if as_json:
        show_json(found.to_dict())
    else:
        _print(found)


@app.command()
def promote(
    name: str,
    version: str,
    alias: Alias = "champion",
    at_least: Annotated[list[str] | None, typer.Option(help="METRIC=VALUE; may be repeated.")] = None,
    at_most: Annotated[list[str] | None, typer.Option(help="METRIC=VALUE; may be repeated.")] = None,
    better: Annotated[
        list[str] | None, typer.Option(help="METRIC or METRIC=BY: better than what the alias points to, by BY or more.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias to a version; refused with the figures when a gate is not passed."""
    from .models.gate import Gate

    gates: list[Gate] = []
    for text in at_least or ():
        metric, bound = _bound(text)
        gates.append(Gate(metric, at_least=bound))
    for text in at_most or ():
        metric, bound = _bound(text)
        gates.append(Gate(metric, at_most=bound))
    for text in better or ():
        metric, by = _bound(text) if "=" in text else (text, 0.0)
        gates.append(Gate(metric, better_than=alias, by=by))
    _moved(_there(name).promote(name, version=version, alias=alias, gates=gates).version, name, alias, as_json)


@app.command()
def rollback(name: str, alias: Alias = "champion", as_json: AsJson = False) -> None:
    """Point an alias back to the version it pointed to before."""
    _moved(_there(name).rollback(name, alias=alias).version, name, alias, as_json)


def _columns(found: Registered) -> list[dict[str, object]]:
    """A line a feature: its type, and what it looked like in training."""
    if found.model is None:
        return []
    signature, profile = found.model.signature, found.model.profile
    return [
        {"feature": name, "type": signature.get(name, ""), **(_looks(profile[name]) if name in profile else {})}
        for name in found.features
    ]


def _looks(one: FeatureProfile) -> dict[str, object]:
    at = one.quantiles
    ends = {"min": at[0], "median": at[len(at) // 2], "max": at[-1], "mean": one.mean} if at else {}
    told = {name: f"{ends[name]:.4g}" if name in ends else "-" for name in ("min", "median", "max", "mean")}
    return {"rows": one.rows, "nulls": one.nulls, **told}


def _registry() -> ModelRegistry | None:
    """None where no model can be: looking makes no database."""
    settings = Settings.from_env()
    if settings.tracking_uri is None and not (settings.home / "mlflow.db").exists():
        return None
    from .models.model_registry import ModelRegistry

    return ModelRegistry(settings)


def _there(model: str) -> ModelRegistry:
    from ..runtime.errors import ModelNotFound

    found = _registry()
    if found is None:
        raise ModelNotFound(f"no model {model!r}; none is registered yet: automl.fit(...) registers one")
    return found


def _bound(text: str) -> tuple[str, float]:
    from ..runtime.errors import InputError

    metric, _, value = text.partition("=")
    try:
        return metric, float(value)
    except ValueError:
        raise InputError(f"cannot read {text!r}: write METRIC=VALUE, for instance roc_auc=0.8") from None


def _moved(version: str, name: str, alias: str, as_json: bool) -> None:
    if as_json:
        show_json({"name": name, "alias": alias, "version": version})
    else:
        print(f"models:/{name}@{alias} is version {version}")


def _print(found: Comparison) -> None:
    print(f"{found.first} -> {found.second}")
    rows = [
        {
            "metric": one.metric,
            "first": _figure(one.first, one.first_interval),
            "second": _figure(one.second, one.second_interval),
            "gain": f"{one.gain:+.4g}{' (apart)' if one.apart else ''}",
        }
        for one in found.measures
    ]
    show_rows(rows, as_json=False, empty="neither has measures")
    _listed("features added", found.features_added)
    _listed("features removed", found.features_removed)
    for name, (before, after) in found.settings.items():
        print(f"{name}: {before or '-'} -> {after or '-'}")


def _listed(title: str, names: Sequence[str]) -> None:
    if names:
        print(f"{title}: {', '.join(names)}")


def _figure(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")
