"""Floor 1: Ray, Redis and SQL connections, settings, units, errors. Imports no other floor."""
