"""A cluster in one process: an in-memory Kubernetes API for demonstrations and tests only.

It stores nothing on disk, checks no credentials and runs no containers. Everything else behaves as in Kubernetes.
``tests/cluster`` describes the behaviour that the operator relies on. These tests run unchanged against this package
and against a real kube-apiserver. Where the two differ, this package is wrong.
"""
