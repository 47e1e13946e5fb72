"""``make demo``: applies the examples to a cluster, step by step."""
