"""Which address to listen on, so that a process is reached on nodes with IPv4, with IPv6 and with both."""

import socket


def every_address() -> str:
    """``::``, which takes IPv4 connections too, or ``0.0.0.0`` where the kernel has no IPv6."""
    return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"


def bracketed(address: str) -> str:
    """``address`` as it stands before a port."""
    return f"[{address}]" if ":" in address else address
