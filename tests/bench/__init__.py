"""Benchmarks, run by hand with ``make bench``; nothing in the tests is timed.

Each module measures one thing and, beside it in the same run, a baseline of the same kind, because only their
ratio means anything on another machine. Figures are medians of at least five runs.
"""
