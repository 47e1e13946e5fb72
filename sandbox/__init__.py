"""A cluster in one process: an in-memory Kubernetes API for demonstration and tests, and nothing else.

It holds no data, checks no credentials and runs no container. What it does do, it does as
Kubernetes does: ``tests/cluster`` describes the behaviour that the operator relies on and runs
unchanged against this package and against a real kube-apiserver. Where they differ, this package is
wrong.
"""
