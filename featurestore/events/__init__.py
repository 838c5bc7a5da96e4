"""The event log: partitions, leases, and who shares them."""
