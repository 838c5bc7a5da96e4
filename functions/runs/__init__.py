"""Runs and their record in MLflow; jobs, sweeps and schedules, which make runs."""
