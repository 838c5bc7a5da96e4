"""Forecasting: series on a grid of times, what is known of them at a moment, tables to learn from."""
