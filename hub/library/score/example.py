"""Score a frame with the model that a search has just found."""

import polars as pl

from eagleray import hub

train = pl.DataFrame({"amount": [float(i % 97) for i in range(500)], "fraud": [int(i % 97 > 80) for i in range(500)]})
run = hub.load("hub://automl")(train, label="fraud", budget_s=3)
print(hub.load("hub://score")(train.drop("fraud").head(5), run.model))
