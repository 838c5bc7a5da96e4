"""Profiles of data, distances between them, drift."""
