"""Benchmarks of Segment Anything: the library's generator against ours, on the same weights."""
