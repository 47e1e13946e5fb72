"""Chooses the address to listen on, so that clients can connect by IPv4, by IPv6 and on dual-stack nodes."""

import socket


def every_address() -> str:
    """Return ``::``, which also accepts IPv4 connections, or ``0.0.0.0`` if the kernel has no IPv6."""
    return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"


def bracketed(address: str) -> str:
    """Return ``address`` with brackets if it is IPv6, so that a port can follow."""
    return f"[{address}]" if ":" in address else address
