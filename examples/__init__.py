"""Worked examples; they use only the public API."""
