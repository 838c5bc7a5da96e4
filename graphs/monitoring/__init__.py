"""Watching: tap, profiler, drift and quality, alerts, actions."""
