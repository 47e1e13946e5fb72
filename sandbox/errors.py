"""Failures as the API server words them: a code, a reason and a message, in a Status."""

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
        """``reason`` is that of the code unless it is given, even as an empty one."""
        super().__init__(message)
        self.code, self.message = code, message
        self.reason = REASONS.get(code, "Unknown") if reason is None else reason

    def status(self) -> Object:
        """The ``v1`` Status to answer with."""
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
    """There is no object of that name."""
    return Failure(404, f'{resource} "{name}" not found')


def invalid(kind: str, name: str, faults: list[str]) -> Failure:
    """The object breaks rules; ``faults`` are sentences that start with the field's path."""
    listed = faults[0] if len(faults) == 1 else "[" + ", ".join(faults) + "]"
    return Failure(422, f'{kind} "{name}" is invalid: {listed}')
