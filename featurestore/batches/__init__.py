"""Batch ingestion: staged, resumable, of any size."""
