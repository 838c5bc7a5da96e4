"""Training: learners, the search over their settings, the workers that do it."""
