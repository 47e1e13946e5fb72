"""A stand-in for a Service: one loopback port in front of the webhook's replicas, by TCP."""

import contextlib
import itertools
import selectors
import socket
import threading


class Balancer:
    """Forwards each connection to the next of ``backends``, and to the one after it if that does not answer."""

    def __init__(self) -> None:
        self.backends: list[int] = []
        """Ports on loopback. A port that is removed keeps its open connections."""
        self._turn = itertools.count()
        self._open = set[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop accepting connections."""
        self._listener.close()

    def disconnect(self) -> None:
        """Close all connections, so that the next request needs a new one with a handshake."""
        for client in list(self._open):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        backends = list(self.backends)
        start = next(self._turn)
        for n in range(len(backends)):
            try:
                server = socket.create_connection(("127.0.0.1", backends[(start + n) % len(backends)]), 2)
            except OSError:
                continue
            self._open.add(client)
            self._pump(client, server)
            self._open.discard(client)
            return
        client.close()

    @staticmethod
    def _pump(client: socket.socket, backend: socket.socket) -> None:
        with client, backend, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, backend)
            selector.register(backend, selectors.EVENT_READ, client)
            try:
                while True:
                    for key, _ in selector.select():
                        source: socket.socket = key.fileobj  # type: ignore[assignment]
                        data = source.recv(65536)
                        if not data:
                            return
                        key.data.sendall(data)
            except OSError:
                return
