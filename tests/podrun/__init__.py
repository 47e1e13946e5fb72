"""Runs an injected pod's containers as plain processes, the way a kubelet would, with a small sidecar for tests.

What a kubelet mounts, a path mapping stands for: in each container's environment and command, the path of a mount
is replaced with that of the volume's directory. Nothing needs a right that an ordinary process lacks.
"""
