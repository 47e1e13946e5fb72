"""Failures in the API server's form: a Status with a code, a reason and a message."""

from typing import Any

Object = dict[str, Any]

REASONS = {
    400: "BadRequest",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    500: "InternalError",
}


class Failure(Exception):
    """An answer that is not a success."""

    def __init__(self, code: int, message: str, reason: str | None = None) -> None:
        """Without ``reason``, the code determines it. An empty reason is kept."""
        super().__init__(message)
        self.code, self.message = code, message
        self.reason = REASONS.get(code, "Unknown") if reason is None else reason

    def status(self) -> Object:
        """The ``v1`` Status for the response."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }


def not_found(resource: str, name: str) -> Failure:
    """The failure for an object that does not exist."""
    return Failure(404, f'{resource} "{name}" not found')


def invalid(kind: str, name: str, faults: list[str]) -> Failure:
    """The failure for an object that breaks rules. Each of ``faults`` starts with the field's path."""
    listed = faults[0] if len(faults) == 1 else "[" + ", ".join(faults) + "]"
    return Failure(422, f'{kind} "{name}" is invalid: {listed}')
