"""Floor 2: feature sets, windows, the offline and online stores, point-in-time joins, profiles."""
