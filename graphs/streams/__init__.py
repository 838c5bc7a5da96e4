"""Graphs over events that nobody waits for: queues inside a graph, and streams of other programs."""
