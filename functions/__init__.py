"""Floor 3: functions, runs, models and AutoML."""
