"""The exact state of windows, made from events, merged, packed and finished: one computation for online and offline."""
