"""An evaluation as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...runtime.text_file import write_text
from .calibration import reliability_curve
from .charts import Line, bar_chart, histogram, line_chart
from .evaluation import SOURCES, Evaluation
from .threshold import Cost, Threshold

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1180px;margin:0 auto;padding:20px}
h1{font-size:25px;margin:0 0 4px}h2{font-size:17px;margin:30px 0 8px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:3px 14px 3px 0;border-bottom:1px solid #e6e6e6}
td.n,th.n{text-align:right}figure{margin:0}figcaption{font-weight:600;margin-bottom:4px}
.plots{display:flex;flex-wrap:wrap;gap:24px 22px}.lead{color:#555;margin:0}
.note{background:#fff6df;border-left:4px solid #d9a300;padding:6px 12px;margin:8px 0}
@media(max-width:700px){body{padding:10px}}
"""
_MOST_FEATURES = 20
_NAMES = {
    "average_precision": "average precision", "roc_auc": "ROC AUC", "log_loss": "log loss", "brier": "Brier score",
    "rmse": "RMSE", "mae": "MAE", "r2": "R²", "ndcg": "NDCG",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """A page; a notebook shows it as it is."""

    html: str

    def save(self, path: str | Path) -> Path:
        """Writes the page as a file; raises `StorageError`."""
        return write_text(path, self.html)

    def _repr_html_(self) -> str:
        # A frame of its own, so that the page's style stays inside it.
        return f'<iframe srcdoc="{escape(self.html, quote=True)}" width="100%" height="900" style="border:0"></iframe>'

    def __repr__(self) -> str:
        return f"Report({len(self.html):,} characters; .save('report.html') writes it)"


def page(title: str, lead: str, parts: Iterable[str]) -> Report:
    """A page of those parts, which are HTML already; `title` and `lead` are text."""
    return Report(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f'<body><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{"".join(parts)}</body></html>\n'
    )


def report(found: Evaluation, *, title: str, about: Mapping[str, object]) -> Report:
    """The page of an evaluation; `about` is what else there is to say of the model, by name."""
    rows = f"{len(found.labels):,} rows"
    if found.task == "classification":
        rows += f", {int(found.labels.sum()):,} positive ({found.labels.mean():.2%})"
    parts = [note(text) for text in found.notes]
    parts.append(section("Measures", _measures(found)))
    if found.task == "classification":
        parts.append(section("Plots", plots(_class_plots(found))))
        parts.append(section("Calibration", _calibration(found)))
    else:
        drawn = _rank_plots(found) if found.task == "ranking" else _value_plots(found)
        parts.append(section("Plots", plots(drawn)))
    if found.threshold is not None:
        parts.append(section("Threshold", _threshold(found.threshold)))
    if found.importance:
        first = sorted(found.importance.items(), key=lambda item: -item[1])[:_MOST_FEATURES]
        units = {"classification": "log-odds", "regression": "the label's unit", "ranking": "the score's unit"}
        what = units[found.task]
        parts.append(section("Importance", f"<p class='lead'>Mean |contribution| of a feature, in {what}.</p>"
                             + bar_chart([name for name, _ in first], [value for _, value in first])))  # fmt: skip
    if found.segments:
        parts.append(section("Segments", _segments(found)))
    if about:
        parts.append(section("Model", table(("", ""), [(name, str(value)) for name, value in about.items()])))
    return page(title, f"Judged on {SOURCES[found.source]}. {rows}.", parts)


def section(title: str, inside: str) -> str:
    """A heading and what stands below it (HTML)."""
    return f"<section><h2>{escape(title)}</h2>{inside}</section>"


def note(text: str) -> str:
    """A sentence to look at twice."""
    return f'<p class="note">{escape(text)}</p>'


def plots(found: Mapping[str, str]) -> str:
    """Pictures (SVG) next to each other, by what stands above them."""
    figures = (f"<figure><figcaption>{escape(name)}</figcaption>{svg}</figure>" for name, svg in found.items())
    return f'<div class="plots">{"".join(figures)}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; the first column to the left, the others to the right where they hold numbers."""
    head = "".join(f'<th class="{"n" if place else ""}">{escape(name)}</th>' for place, name in enumerate(header))
    body = "".join(
        "<tr>" + "".join(f'<td class="{"n" if place and len(header) > 2 else ""}">{escape(cell)}</td>'
                         for place, cell in enumerate(row)) + "</tr>"
        for row in rows
    )  # fmt: skip
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def number(value: float, digits: int = 4) -> str:
    """A number as people read it; a dash for what is not known."""
    return f"{value:,.{digits}g}" if np.isfinite(value) else "-"


def _title(name: str) -> str:
    """A measure's name as people write it."""
    first, _, k = name.partition("_")
    return f"NDCG@{k}" if first == "ndcg" and k else _NAMES.get(name, name.replace("_", " "))


def _measures(found: Evaluation) -> str:
    rows = []
    for name, one in sorted(found.estimates.items(), key=lambda item: item[0] != found.metric):
        title = _title(name) + (" (searched for)" if name == found.metric else "")
        known = np.isfinite(one.low)
        rows.append((title, number(one.value), f"{number(one.low)} to {number(one.high)}" if known else "-"))
    return table(("measure", "value", "95 % interval"), rows)


def _class_plots(found: Evaluation) -> dict[str, str]:
    labels, scores = found.labels, found.scores
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits, flagged = np.cumsum(labels[order])[last], last + 1.0
    recall = np.concatenate(([0.0], hits / max(1.0, hits[-1])))
    misses = flagged - hits
    fall_out = np.concatenate(([0.0], misses / max(1.0, misses[-1])))
    precision = np.concatenate(([hits[0] / flagged[0]], hits / flagged))
    unit = (0.0, 1.0)
    at = found.threshold.value if found.threshold else None
    drawn = {
        "ROC": line_chart([Line("model", fall_out, recall)], x="false positive rate", y="true positive rate",
                          x_span=unit, y_span=unit, diagonal=True),
        "Precision and recall": line_chart([Line("model", recall, precision)], x="recall", y="precision",
                                           x_span=unit, y_span=unit),
    }  # fmt: skip
    curves = [_reliability("as trained", labels, found.raw_scores)]
    if found.calibration is not None:
        curves.append(_reliability("calibrated", labels, found.crossed_scores))
    top = max(float(max(np.max(line.x), np.max(line.y))) for line in curves)
    span = (0.0, min(1.0, top * 1.05) or 1.0)
    drawn["Calibration"] = line_chart(
        curves, x="mean score", y="share of positives", x_span=span, y_span=span, diagonal=True
    )
    sides = [("negative", scores[labels < 0.5]), ("positive", scores[labels > 0.5])]
    drawn["Scores"] = histogram(sides, x="score", span=unit, at=at)
    return drawn


def _reliability(name: str, labels: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> Line:
    mean, rate, _ = reliability_curve(labels, scores)
    return Line(name, mean, rate, marked=True)


def _value_plots(found: Evaluation) -> dict[str, str]:
    some = np.linspace(0, len(found.labels) - 1, min(300, len(found.labels))).astype(int)
    order = np.argsort(found.scores[some])
    bins = np.array_split(np.argsort(found.scores), 10)
    means: list[npt.NDArray[np.float64]] = [
        np.array([float(values[rows].mean()) for rows in bins if len(rows)]) for values in (found.scores, found.labels)
    ]
    low = float(min(found.labels[some].min(), found.scores[some].min()))
    high = float(max(found.labels[some].max(), found.scores[some].max()))
    return {
        "Prediction and label": line_chart([Line("tenths", means[0], means[1], marked=True)], x="mean prediction",
                                           y="mean label", x_span=(low, high), y_span=(low, high), diagonal=True),
        "Errors": histogram([("error", found.scores - found.labels)], x="prediction - label"),
        "Values": histogram([("label", found.labels), ("prediction", found.scores)], x="value"),
        "Labels by prediction": line_chart(
            [Line("label", found.scores[some][order], found.labels[some][order], marked=True, joined=False)],
            x="prediction", y="label",
        ),
    }  # fmt: skip


def _rank_plots(found: Evaluation) -> dict[str, str]:
    tenths = [rows for rows in np.array_split(np.argsort(found.scores), 10) if len(rows)]
    means: list[npt.NDArray[np.float64]] = [
        np.array([float(values[rows].mean()) for rows in tenths]) for values in (found.scores, found.labels)
    ]
    sides = [("grade 0", found.scores[found.labels == 0]), ("higher grades", found.scores[found.labels > 0])]
    return {
        "Grade by score": line_chart([Line("tenths", means[0], means[1], marked=True)], x="mean score", y="mean grade"),
        "Scores": histogram([(name, scores) for name, scores in sides if len(scores)], x="score"),
    }


def _calibration(found: Evaluation) -> str:
    if found.before is None or found.after is None:
        return ""
    rows = [("as trained", *map(number, (found.before.brier, found.before.ece, found.before.log_loss)))]
    what = "The scores stay as trained: no curve made them come true more often."
    if found.calibration is not None:
        rows.append((f"calibrated ({found.calibration.method})",
                     *map(number, (found.after.brier, found.after.ece, found.after.log_loss))))  # fmt: skip
        what = "Measured on rows that the curve was not fitted on. It rises everywhere: no order changes."
    return table(("scores", "Brier score", "calibration error", "log loss"), rows) + f"<p class='lead'>{what}</p>"


def _threshold(found: Threshold) -> str:
    rule = found.rule
    if isinstance(rule, Cost):
        why = f"the least cost at {rule.false_positive:g} a false positive and {rule.false_negative:g} a false negative"
    else:
        why = f"{rule.cases} cases per {rule.per}"
    rows = [
        ("act from a score of", f"{found.value:.6g}"), ("rule", why), ("alerts", f"{found.alerts:,}"),
        ("of them right", f"{found.true_positives:,} ({number(100 * found.precision, 3)} %)"),
        ("positives found", f"{found.true_positives:,} of {found.true_positives + found.false_negatives:,} "
                            f"({number(100 * found.recall, 3)} %)"),
    ]  # fmt: skip
    if isinstance(rule, Cost):
        rows.append(("cost", number(found.cost)))
    if found.most:
        rows.append((f"alerts per {getattr(rule, 'per', 'period')}", f"{found.per_period:.1f} in the mean, "
                     f"{found.most} at most"))  # fmt: skip
    return table(("on the judged rows", ""), rows)


def _segments(found: Evaluation) -> str:
    name = _title(found.metric)
    rows = [
        (f"{one.column}: {one.value}", f"{one.rows:,}", number(one.mean_label, 3), number(one.mean_score, 3),
         number(one.estimate.value), f"{number(one.estimate.low)} to {number(one.estimate.high)}"
         if np.isfinite(one.estimate.low) else "-")
        for one in found.segments
    ]  # fmt: skip
    return table(("segment", "rows", "mean label", "mean score", name, "95 % interval"), rows)
