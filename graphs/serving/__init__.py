"""A graph behind HTTP and gRPC."""
