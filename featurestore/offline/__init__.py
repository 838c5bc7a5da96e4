"""The offline store and the past: point-in-time joins, pins, audits, erasure."""
