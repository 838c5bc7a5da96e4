"""What users declare: entities, feature sets, aggregates, windows, vectors; their layout, and the catalog."""
