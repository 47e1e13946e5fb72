"""Runtimes with scripted responses, to test sidecars with responses that no correct runtime gives."""

import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

Answer = bytes | Callable[[socket.socket], None]


class Listener(ABC):
    """Accepts connections on a socket, one after the other, and records their requests."""

    def __init__(self, path: Path) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self._serve(connection)

    @abstractmethod
    def _serve(self, connection: socket.socket) -> None:
        """Read the requests of a connection, and answer them."""

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()


class Runtime(Listener):
    """Answers each HTTP request with the next scripted response, byte for byte."""

    def __init__(self, path: Path) -> None:
        self.answers: list[Answer] = []
        self.otherwise: Answer | None = None
        """The response after all scripted ones."""
        self.keep = False
        super().__init__(path)

    def _serve(self, connection: socket.socket) -> None:
        while request := self._request(connection):
            answer = self.answers.pop(0) if self.answers else self.otherwise
            if answer is None:
                break
            self.requests.append(request)
            if callable(answer):
                answer(connection)
            else:
                connection.sendall(answer)
            if not self.keep:
                break

    def _request(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body


class FramesRuntime(Listener):
    """Answers each connection's frame with the next scripted response."""

    def __init__(self, path: Path) -> None:
        self.answers: list[bytes] = []
        super().__init__(path)

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            self.requests.append(stream.read(struct.unpack(">I", stream.read(4))[0]))
            connection.sendall(self.answers.pop(0))
