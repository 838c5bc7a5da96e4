"""What bodies are: the content types that services read and write."""

JSON = b"application/json"
EVENTS = b"text/event-stream"
ARROW = b"application/vnd.apache.arrow.stream"
GRPC = b"application/grpc"
PROTOBUF = b"application/x-protobuf"
BINARY = b"application/octet-stream"
