"""Floor 4: serving graphs and the monitoring of their traffic."""
