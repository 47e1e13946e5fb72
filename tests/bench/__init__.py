"""Benchmarks, run by hand with ``make bench``; nothing in the tests is timed."""
