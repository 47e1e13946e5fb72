"""The Kubernetes API as both processes use it: a client, watch caches, and how objects compare."""
