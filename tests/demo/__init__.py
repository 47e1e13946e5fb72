"""``make demo``: the examples on a cluster, step by step."""
