"""What a decorated function asks for, and its arguments and answers by their types."""
