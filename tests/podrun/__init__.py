"""Runs an injected pod's containers as plain processes, as a kubelet would, with a small sidecar for tests.

A path mapping replaces a kubelet's mounts: in each container's environment and command, the path of a mount becomes the
path of the volume's directory. This needs no rights beyond those of an ordinary process.
"""
