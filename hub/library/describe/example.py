"""Describe a small frame."""

import polars as pl

from eagleray import hub

describe = hub.load("hub://describe")
frame = pl.DataFrame({"amount": [12.0, 250.0, 9.5, 31.0], "night": [False, True, False, False], "fraud": [0, 1, 0, 0]})
print(describe(frame, label="fraud"))
