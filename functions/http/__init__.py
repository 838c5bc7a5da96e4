"""Functions and graphs over HTTP: requests, problems, limits, metrics, the OpenAPI page."""
