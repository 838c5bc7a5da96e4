"""How good a model is, said honestly: splits, calibration, thresholds, intervals, segments, a report."""
