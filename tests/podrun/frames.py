"""How the frames generations handle a message: a length and JSON, with one connection for each message."""

import json
import socket
import struct
import time
from typing import Any

from tests.podrun.settings import Settings
from tests.podrun.transports import Received, SendFailed, Transport

Object = dict[str, Any]


class Frames:
    """Handles messages one by one."""

    declares = False
    """Does not declare queues."""
    reconnects = True
    exits_at_once = False
    """At SIGTERM it waits for the runtime's answer, but cannot send it. The broker delivers the message again."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings, self._transport = settings, transport
        self.cancelled = False

    def handle(self, received: Received) -> None:
        """Send one message to the runtime, and send on the results."""
        message = _parsed(received.body)
        if message is None:
            self._to_error_end(received.body, "Failed to parse message")
        elif not message.get("id"):
            self._to_error_end(received.body, "Envelope missing required 'id' field")
        elif self._settings.is_end_actor:
            self._ask(received.body)
        elif _current(message.get("route") or {}) != self._settings.actor:
            self._to_error_end(received.body, "Route mismatch: message routed to wrong actor")
        else:
            self._process(received, message)
        self._transport.acknowledge(received)

    def _process(self, received: Received, message: Object) -> None:
        try:
            results = json.loads(self._ask(received.body))
            if not isinstance(results, list):
                raise ValueError(f"an answer is an array; found {results!r}")
        except TimeoutError:
            self._to_error_end(received.body, f"Runtime timeout exceeded after {self._settings.timeout} s")
            raise SystemExit(1) from None
        except (OSError, ValueError) as error:
            self._to_error_end(received.body, str(error))
            return
        if not results:
            self._send(self._settings.sink, message)
        for n, result in enumerate(results):
            if result.get("error"):
                self._to_error_end(received.body, result["error"], result.get("details") or {})
                return
            child = {"id": f"{message['id']}-{n}", "parent_id": message["id"]} if n else {"id": message["id"]}
            route = result.get("route") or {}
            self._send(_current(route) or self._settings.sink, {**child, "route": route, "payload": result["payload"]})

    def _ask(self, body: bytes) -> bytes:
        deadline = time.monotonic() + self._settings.timeout

        def left() -> float:
            return max(0.001, deadline - time.monotonic())

        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(left())
            client.connect(self._settings.socket)
            client.sendall(struct.pack(">I", len(body)))
            client.sendall(body)
            head = _exactly(client, 4, left)
            return _exactly(client, struct.unpack(">I", head)[0], left)

    def _to_error_end(self, body: bytes, error: str, details: Object | None = None) -> None:
        message = _parsed(body) or {}
        payload = {"error": error, **({} if details is None else {"details": details})}
        if message.get("payload") is not None:
            payload["original_payload"] = message["payload"]
        route = message.get("route") or {"actors": ["error-end"], "current": 0}
        self._send(self._settings.sump, {"id": message.get("id", ""), "route": route, "payload": payload})

    def _send(self, actor: str, message: Object) -> None:
        if self.cancelled:
            raise SendFailed("cancelled")
        queue = self._settings.queue(actor)
        self._transport.send(queue, queue.removeprefix("asya-"), json.dumps(message).encode())


def _exactly(client: socket.socket, size: int, left: Any) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        client.settimeout(left())
        part = client.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise ConnectionError(f"failed to read response from runtime: {len(parts)} of {size} bytes")
        parts += part
    return bytes(parts)


def _parsed(body: bytes) -> Object | None:
    try:
        message = json.loads(body)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _current(route: Object) -> str:
    actors, current = route.get("actors") or [], route.get("current", 0)
    return str(actors[current]) if 0 <= current < len(actors) else ""
