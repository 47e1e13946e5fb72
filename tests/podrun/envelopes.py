"""How the http generation handles a message: ``prev``, ``curr`` and ``next``, a status, and an end for each case."""

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.podrun.invoke import BrokenAnswer, Client, StreamedError
from tests.podrun.resiliency import Resiliency
from tests.podrun.settings import Settings
from tests.podrun.transports import DelayNotSupported, Received, SendFailed, Transport

Object = dict[str, Any]
DEADLINE_MARGIN = 1.0
"""In the last seconds before a deadline, the sidecar does not call the runtime."""


def now() -> str:
    """The time in RFC 3339, in whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Envelopes:
    """Handles messages one by one."""

    declares = True
    """Declares its own queue at start, and every target before each send."""
    reconnects = False
    exits_at_once = True
    """Ends at SIGTERM. The broker delivers the message in hand again."""

    def __init__(self, settings: Settings, transport: Transport, log: Callable[[str], None]) -> None:
        self._settings, self._transport, self._log = settings, transport, log
        self._client = Client(settings.socket, lambda event: log(f"upstream {json.dumps(event)}"))
        self.cancelled = False
        self._resiliency = Resiliency(settings.policies, settings.rules)

    def handle(self, received: Received) -> None:
        """Send one message to the runtime, and send on the results."""
        try:
            message = json.loads(received.body)
            if not isinstance(message, dict) or not message.get("id"):
                raise ValueError("message missing required 'id' field")
        except ValueError as error:
            self._to_sump(received.body, str(error))
        else:
            self._handle(received, message)
        self._transport.acknowledge(received)

    def _handle(self, received: Received, message: Object) -> None:
        left = _seconds_left(message)
        if left is not None and left < (0 if self._settings.is_end_actor else DEADLINE_MARGIN):
            status = {**self._status(message), "phase": "failed", "reason": "Timeout"}
            self._send(self._settings.sink, {**message, "status": status})
        elif self._settings.is_end_actor:
            self._consume_end(received)
        elif (message.get("route") or {}).get("curr") != self._settings.actor:
            self._to_sump(received.body, "Route mismatch: message routed to wrong actor")
        else:
            limit = self._settings.timeout if left is None else min(left, self._settings.timeout)
            self._process(received, {**message, "status": self._status(message)}, limit)

    def _consume_end(self, received: Received) -> None:
        """An end actor's runtime receives the message unchanged. Its answer is not sent on."""
        try:
            for _frame in self._client.invoke(received.body, self._settings.timeout):
                pass
        except TimeoutError:
            raise SystemExit(1) from None
        except (BrokenAnswer, StreamedError) as error:
            raise SendFailed(f"runtime error in end actor: {error}") from None

    def _process(self, received: Received, message: Object, limit: float) -> None:
        route = message["route"]
        request = {
            "id": message["id"],
            **({"parent_id": message["parent_id"]} if message.get("parent_id") else {}),
            "route": {"prev": route.get("prev"), "curr": route["curr"], "next": route.get("next")},
            **({"headers": message["headers"]} if message.get("headers") else {}),
            "payload": message.get("payload"),
            "status": message["status"],
        }
        count = 0
        try:
            for count, frame in enumerate(self._client.invoke(json.dumps(request).encode(), limit), 1):
                if frame.get("error"):
                    self._fail(message, frame)
                    return
                self._send_frame(message, frame, count - 1)
        except StreamedError as error:
            self._fail(message, error.args[0])
            return
        except TimeoutError:
            self._to_sump(received.body, f"Runtime timeout exceeded after {limit} s")
            raise SystemExit(1) from None
        except BrokenAnswer as error:
            self._to_sump(received.body, str(error))
            return
        if not count:
            status = {**message["status"], "phase": "succeeded", "reason": "Completed", "updated_at": now()}
            self._send(self._settings.sink, {**message, "status": status})

    def _status(self, message: Object) -> Object:
        """The status of the message at this actor. Each actor counts attempts from 1."""
        status = message.get("status") or {"created_at": now()}
        attempt = status.get("attempt", 1) if status.get("actor") == self._settings.actor else 1
        created = status.get("created_at") or now()
        kept = {"deadline_at": status["deadline_at"]} if status.get("deadline_at") else {}
        return {
            "phase": "processing",
            "actor": self._settings.actor,
            "attempt": attempt,
            "max_attempts": status.get("max_attempts", 1),
            "created_at": created,
            "updated_at": now(),
            **kept,
        }

    def _send_frame(self, message: Object, frame: Object, index: int) -> None:
        """Send a frame to the next actor of its route, or to the sink."""
        ids = {"id": str(uuid.uuid4()), "parent_id": message["id"]} if index else {"id": message["id"]}
        headers = frame["headers"] if frame.get("headers") is not None else message.get("headers")
        route = frame.get("route") or {"prev": None, "curr": "", "next": None}
        target = route.get("curr") or ""
        status = dict(frame.get("status") or message["status"])
        if target:
            status |= {"phase": "pending", "actor": target, "attempt": 1, "max_attempts": 1, "updated_at": now()}
        else:
            status |= {"phase": "succeeded", "reason": "Completed", "updated_at": now()}
        sent = {
            **ids,
            "route": route,
            **({"headers": headers} if headers else {}),
            "payload": frame.get("payload"),
            "status": status,
        }
        self._send(target or self._settings.sink, sent)

    # -- what went wrong -------------------------------------------------------------------------

    def _fail(self, message: Object, answer: Object) -> None:
        """Handle an error from the runtime: by policy to the own queue or another actor, else to the sink."""
        details = answer.get("details") or {}
        status = message["status"]
        policy = None if answer["error"] == "msg_parsing_error" else self._resiliency.policy(details)
        reason = "RuntimeError"
        if policy is not None:
            status = {**status, "max_attempts": policy.max_attempts}
            if not policy.exhausted(status):
                if self._retry({**message, "status": status}, details, policy.delay(status["attempt"])):
                    return
            elif policy.on_exhausted:
                first, *rest = policy.on_exhausted
                prev = [*(message["route"].get("prev") or ()), self._settings.actor]
                failed = {**status, "phase": "failed", "reason": "PolicyRouted", "error": details, "updated_at": now()}
                route = {"prev": prev, "curr": first, "next": rest}
                self._send(first, {**message, "route": route, "status": failed})
                return
            else:
                reason = "PolicyExhausted"
        payload = {"error": answer["error"], "details": details, "original_payload": message.get("payload")}
        failed = {**status, "phase": "failed", "reason": reason, "error": details, "updated_at": now()}
        kept: Object = {name: message[name] for name in ("id", "parent_id", "route") if name in message}
        self._send(self._settings.sink, {**kept, "payload": payload, "status": failed})

    def _retry(self, message: Object, details: Object, delay: float) -> bool:
        """Send to the own queue for another attempt. False if the broker cannot delay a message."""
        status = message["status"]
        second = {
            **status,
            "phase": "retrying",
            "attempt": status["attempt"] + 1,
            "error": details,
            "updated_at": now(),
        }
        try:
            self._send(self._settings.actor, {**message, "status": second}, max(delay, 0.001))
        except DelayNotSupported:
            return False
        return True

    def _to_sump(self, body: bytes, error: str) -> None:
        """Send a message to the sump that could not be read, routed or answered."""
        self._log(f"to the sump: {error}")
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = {}
        message = parsed if isinstance(parsed, dict) else {}
        status = {**self._status(message), "phase": "failed"}
        payload = {"error": error}
        if message.get("payload") is not None:
            payload["original_payload"] = message["payload"]
        route = message.get("route") or {"prev": [], "curr": self._settings.sump, "next": []}
        self._send(
            self._settings.sump, {"id": message.get("id", ""), "route": route, "payload": payload, "status": status}
        )

    def _send(self, actor: str, message: Object, delay: float = 0.0) -> None:
        self._transport.send(self._settings.queue(actor), actor, json.dumps(message).encode(), delay)


def _seconds_left(message: Object) -> float | None:
    """The seconds until the message's deadline. None without a deadline."""
    deadline = (message.get("status") or {}).get("deadline_at")
    return datetime.fromisoformat(deadline).timestamp() - time.time() if deadline else None
