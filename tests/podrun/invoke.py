"""The http generation's client: calls the runtime over its Unix socket, and reads every kind of response as Go does."""

import gzip
import http.client
import io
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

Object = dict[str, Any]
LONGEST_LINE = 16 * 1024 * 1024


class BrokenAnswer(Exception):
    """No response, or an unreadable one. The message goes to the sump."""


class StreamedError(Exception):
    """An ``error`` event of a stream. The argument is its object."""


class _Reader(io.RawIOBase):
    """Reads a socket until a deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(max(0.001, self._deadline - time.monotonic()))
        return self._connection.recv_into(buffer)


class _Readable:
    """The part of a socket's interface that ``HTTPResponse`` needs."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._reader = io.BufferedReader(_Reader(connection, deadline))

    def makefile(self, _mode: str) -> "io.BufferedReader[_Reader]":
        return self._reader


class _Chunks(io.RawIOBase):
    """The content of a chunked body. Unlike ``http.client`` it distinguishes an end from a broken connection."""

    def __init__(self, source: Any) -> None:
        self._source, self._left, self._ended = source, 0, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._ended:
            return 0
        if not self._left:
            self._left = int(self._source.readline().partition(b";")[0], 16)
            self._ended = self._left == 0
        data = self._source.read1(min(len(buffer), self._left)) if self._left else b""
        if self._left and not data:
            raise EOFError("the stream was cut short")
        self._left -= len(data)
        if not self._left and self._source.read(2) != b"\r\n":
            raise EOFError("the stream was cut short")
        buffer[: len(data)] = data
        return len(data)


class Client:
    """Keeps the connection open as long as the runtime does."""

    def __init__(self, path: str, upstream: Callable[[Object], None]) -> None:
        self._path, self._upstream = path, upstream
        self._idle: socket.socket | None = None

    def invoke(self, body: bytes, timeout: float) -> Iterator[Object]:
        """Yield the frames of the response as they arrive. A frame with ``error`` is an error.

        Raises:
            BrokenAnswer: if the response is unreadable.
            StreamedError: if a stream ends in an error.
            TimeoutError: if it is not complete in time.
        """
        deadline = time.monotonic() + timeout
        connection = self._connection(deadline)
        keep = False
        try:
            self._write(connection, body, deadline)
            response = http.client.HTTPResponse(cast(socket.socket, _Readable(connection, deadline)), method="POST")
            response.begin()
            yield from self._frames(response)
            keep = response.isclosed() and not response.will_close
        except TimeoutError:
            raise
        except (OSError, EOFError, http.client.HTTPException, ValueError, TypeError, AttributeError) as error:
            raise BrokenAnswer(f"the runtime's answer cannot be read: {error!r}") from None
        finally:
            if keep:
                self._idle = connection
            else:
                connection.close()

    def _connection(self, deadline: float) -> socket.socket:
        """The open connection, unless the runtime has closed it; else a new one."""
        kept, self._idle = self._idle, None
        if kept is not None:
            if not select.select([kept], [], [], 0)[0]:
                return kept
            kept.close()
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            connection.connect(self._path)
        except TimeoutError:
            connection.close()
            raise
        except OSError as error:
            connection.close()
            raise BrokenAnswer(f"failed to connect to runtime socket: {error!r}") from None
        return connection

    def _write(self, connection: socket.socket, body: bytes, deadline: float) -> None:
        head = (
            "POST /invoke HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Go-http-client/1.1\r\n"
            f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
        )
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        connection.sendall(head.encode() + body if len(body) < 65536 else head.encode())
        if len(body) >= 65536:
            connection.sendall(body)

    def _frames(self, response: http.client.HTTPResponse) -> Iterator[Object]:
        kind = response.headers.get("Content-Type", "")
        if response.status == 204:
            response.read()
            return
        if kind.startswith("text/event-stream"):
            yield from self._events(response)
            return
        data = response.read()
        if response.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        answer = json.loads(data)
        if not isinstance(answer, dict):
            raise ValueError(f"HTTP {response.status} with a body that is no object: {data[:200]!r}")
        if response.status != 200:
            yield _frame(answer)  # without "error" it is a success, with any payload
            return
        for frame in answer.get("frames") or ():
            yield _frame(frame)

    def _events(self, response: http.client.HTTPResponse) -> Iterator[Object]:
        source: Any = io.BufferedReader(_Chunks(response.fp)) if response.chunked else response
        if response.headers.get("Content-Encoding") == "gzip":
            source = gzip.GzipFile(fileobj=source)
        event, data = "", list[str]()
        while True:
            line = source.readline(LONGEST_LINE + 1)
            if len(line) > LONGEST_LINE:
                raise ValueError("a line of the stream is longer than 16 MiB")
            if not line:
                if response.length:
                    raise EOFError(f"the stream ended {response.length} bytes too early")
                return
            text = line.decode().rstrip("\r\n")
            if text.startswith("event: "):
                event = text[7:]
            elif text.startswith("data: "):
                data.append(text[6:])
            elif not text and event:
                content = "\n".join(data)
                if event == "downstream":
                    yield _frame(json.loads(content))
                elif event == "upstream":
                    self._upstream(json.loads(content))
                elif event == "error":
                    raise StreamedError(_frame(json.loads(content)))
                elif event == "done":
                    return
                event, data = "", []


def _frame(frame: Any) -> Object:
    """Return ``frame`` if its fields have the types that Go's decoder requires."""
    if not isinstance(frame, dict):
        raise ValueError(f"a frame is an object; found {frame!r}")
    types = {"route": dict, "headers": dict, "status": dict, "error": str, "details": dict}
    for name, expected in types.items():
        if frame.get(name) is not None and not isinstance(frame[name], expected):
            raise ValueError(f"{name} of a frame: found {frame[name]!r}")
    return frame
