"""The parts that any Kubernetes operator needs: a client, watch caches, a work queue, leader election, comparison."""
