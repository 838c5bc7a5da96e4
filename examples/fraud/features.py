"""What the fraud model reads: declared once, used for training and for every request."""

from __future__ import annotations

import polars as pl

from eagleray import Aggregate, Entity, FeatureSet, FeatureVector, Rule

CUSTOMER = Entity("customer_id", "int64")
TERMINAL = Entity("terminal_id", "int64")
WINDOWS = ("1d", "7d", "30d")
AMOUNT_IS_SANE = Rule("amount").between(0, 1e6)

# Static sources: who pays, and where.
homes = FeatureSet("home", [CUSTOMER], "ts", {"x": "float64", "y": "float64"})
places = FeatureSet("place", [TERMINAL], "ts", {"x": "float64", "y": "float64"})

# The stream of transactions, keyed by who pays and by where.
customers = FeatureSet(
    "customer",
    [CUSTOMER],
    "ts",
    {"amount": "float64"},
    aggregates=[Aggregate("amount", ["count", "sum", "avg", "max"], WINDOWS), Aggregate("night", ["avg"], ["30d"])],
    rules=[AMOUNT_IS_SANE],
    owner="risk",
    description="what a customer has spent, and how much of it at night",
)
terminals = FeatureSet(
    "terminal",
    [TERMINAL],
    "ts",
    {"amount": "float64"},
    aggregates=[Aggregate("amount", ["count", "avg", "max"], WINDOWS)],
    rules=[AMOUNT_IS_SANE],
    owner="risk",
    description="what was paid at a terminal",
)
# A label is an event of its own, at the moment it becomes known: no window needs to know of the delay.
risks = FeatureSet(
    "risk",
    [TERMINAL],
    "known_ts",
    {"is_fraud": "bool"},
    aggregates=[Aggregate("is_fraud", ["count", "sum", "avg"], WINDOWS)],
    owner="risk",
    description="how much of what was paid at a terminal is known to be fraud",
)
SETS = (homes, places, customers, terminals, risks)


@customers.transform
def night(frame: pl.DataFrame) -> pl.DataFrame:
    """Payments at night; batch and stream run this very function."""
    return frame.with_columns(night=pl.col("ts").dt.hour() <= 6)


fraud = FeatureVector(
    "fraud",
    ["customer:*", "terminal:*", "risk:*", "home:*", "place:*"],
    request={"amount": "float64"},
    event_time="ts",
    label="is_fraud",
)


@fraud.on_demand("at_night", "at_weekend", "amount_over_usual", "distance")
def in_context(frame: pl.DataFrame) -> pl.DataFrame:
    """What only the request and the stored features together tell."""
    east, north = pl.col("home__x") - pl.col("place__x"), pl.col("home__y") - pl.col("place__y")
    return frame.with_columns(
        at_night=(pl.col("ts").dt.hour() <= 6).cast(pl.Float64),
        at_weekend=(pl.col("ts").dt.weekday() >= 6).cast(pl.Float64),
        amount_over_usual=pl.col("amount") / pl.col("customer__amount_avg_30d"),
        distance=(east * east + north * north).sqrt(),
    )
