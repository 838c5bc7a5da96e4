"""Workers that take events from the log to both stores, wherever they run."""
