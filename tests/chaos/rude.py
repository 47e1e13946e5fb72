"""Rude clients of the webhook: ``python -m tests.chaos.rude PORT SECONDS``.

They run in a process of their own, so that they do not slow down the good clients.
"""

import contextlib
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable

HEAD = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"
BODY = b'{"apiVersion":"admission.k8s.io/v1","request":{"uid":"u"}}'
CLIENTS = 48

Client = Callable[[int, float], None]


def tls(port: int) -> ssl.SSLSocket:
    """A connection without verification of the certificate."""
    context = ssl._create_unverified_context()
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))


def head(content_type: str, length: int) -> bytes:
    return HEAD.format(content_type, length).encode()


def slow(port: int, until: float) -> None:
    """Send one byte of a request from time to time."""
    with tls(port) as connection:
        for byte in head("application/json", len(BODY)) + BODY:
            connection.sendall(bytes([byte]))
            if time.monotonic() > until:
                return
            time.sleep(0.3)


def half_sent(port: int, until: float) -> None:
    """Send half of a body, and wait."""
    with tls(port) as connection:
        connection.sendall(head("application/json", 10_000) + BODY)
        connection.settimeout(max(0.1, until - time.monotonic()))
        connection.recv(100)


def large(port: int, until: float) -> None:
    """Send ten mebibytes."""
    with tls(port) as connection:
        connection.sendall(head("application/json", 10 << 20))
        for _ in range(160):
            connection.sendall(b" " * 65536)
        connection.recv(1000)


def chunked(port: int, until: float) -> None:
    """Send ten mebibytes without announcing the length."""
    with tls(port) as connection:
        connection.sendall(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(160):
            connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        connection.recv(1000)


def wrong_type(port: int, until: float) -> None:
    """Send text that is not JSON."""
    with tls(port) as connection:
        for content_type in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
            connection.sendall(head(content_type, len(BODY)) + BODY)
            connection.recv(1000)


def old(port: int, until: float) -> None:
    """Use HTTP/1.0."""
    with tls(port) as connection:
        connection.sendall(b"POST /mutate HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        while connection.recv(1000):
            pass


def pipelined(port: int, until: float) -> None:
    """Send five requests before reading a response."""
    with tls(port) as connection:
        connection.sendall((head("application/json", len(BODY)) + BODY) * 5)
        connection.settimeout(1)
        for _ in range(5):
            connection.recv(1000)


def garbage(port: int, until: float) -> None:
    """Send bytes that are not TLS."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(random.randbytes(500))
        connection.recv(1000)


def plain(port: int, until: float) -> None:
    """Send HTTP without TLS."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(1000)


def silent(port: int, until: float) -> None:
    """Send nothing."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.settimeout(max(0.1, until - time.monotonic()))
        connection.recv(1)


def half_shaken(port: int, until: float) -> None:
    """Stop in the middle of a handshake, and wait."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        connection.settimeout(max(0.1, until - time.monotonic()))
        connection.recv(100)


KINDS: list[Client] = [slow, half_sent, large, chunked, wrong_type, old, pipelined, garbage, plain, silent, half_shaken]


def one(client: Client, port: int, until: float) -> None:
    """Act as one rude client in a loop."""
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            client(port, until)
        time.sleep(0.2)


def main() -> None:
    """Run all rude clients."""
    port, until = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
    threads = [threading.Thread(target=one, args=(KINDS[n % len(KINDS)], port, until)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
