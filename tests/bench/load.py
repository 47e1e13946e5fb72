"""A client that sends requests over kept-alive TLS. It is cheap, so that its own cost does not affect the results."""

import socket
import ssl
import threading
import time


class Connection:
    """One connection. It does not verify the certificate."""

    def __init__(self, port: int) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """Send a request. Return the body of the response."""
        self._socket.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._read()
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._read()
        if not head.startswith(b"HTTP/1.1 200"):
            raise AssertionError(head.decode())
        return body

    def _read(self) -> bytes:
        part = self._socket.recv(1 << 16)
        if not part:
            raise AssertionError("the server closed the connection")
        return part

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def post(body: bytes) -> bytes:
    """A review as a POST request of an API server."""
    head = f"POST /mutate HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def drive(port: int, request: bytes, connections: int, seconds: float) -> list[float]:
    """Milliseconds of each request, with this number of connections for this number of seconds."""
    latencies: list[list[float]] = [[] for _ in range(connections)]
    failures: list[BaseException] = []

    def go(mine: list[float]) -> None:
        connection = Connection(port)
        try:
            connection.ask(request)
            until = time.perf_counter() + seconds
            while (began := time.perf_counter()) < until:
                connection.ask(request)
                mine.append((time.perf_counter() - began) * 1000)
        except (AssertionError, OSError) as failure:
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=(mine,)) for mine in latencies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [value for mine in latencies for value in mine]
