"""A hub item."""
