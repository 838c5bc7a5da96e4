"""The main job: card fraud, from raw transactions to a monitored HTTP endpoint."""
