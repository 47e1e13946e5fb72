"""Reads and writes the cluster: watch caches, writes, and the decisions between a read and a write."""
