"""gRPC as a translation of the HTTP requests that calls stand for."""
