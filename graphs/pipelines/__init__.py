"""Batch pipelines: functions composed into a graph that is run, resumed, scheduled and tracked."""
