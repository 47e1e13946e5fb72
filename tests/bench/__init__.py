"""Benchmarks. ``make bench`` runs them; no test measures time.

Each module measures one thing, and in the same run a baseline of the same kind. Only the ratio of the two means
anything on another machine. Figures are medians of at least five runs.
"""
