"""Floor 2: scale rules, pure policies, and their translation for Ray Serve."""
