"""Train a model, and deploy it only if it is good, and better than the champion."""

import polars as pl

from eagleray import Gate, hub


def load() -> pl.DataFrame:
    """A table of numeric features and the label; yours comes from files or the feature store."""
    return pl.DataFrame(
        {"amount": [float(i % 97) for i in range(500)], "fraud": [int(i % 97 > 80) for i in range(500)]}
    )


gates = [Gate("roc_auc", at_least=0.7), Gate("average_precision", better_than="champion")]
pipeline = hub.load("hub://train_deploy")(load, model="fraud", label="fraud", gates=gates, deploy=print)
print(pipeline.plan())

if __name__ == "__main__":
    run = pipeline.run(budget_s=3)
    print(run["evaluate"].value, run["deploy"].status, run["gate"].value)
