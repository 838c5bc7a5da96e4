"""The online store and its reads and writes."""
