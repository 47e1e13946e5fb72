"""The settings that a test sidecar reads from its environment, by the rules of its generation."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Generation = Literal["frames", "frames-namespaced", "http"]
GENERATIONS: tuple[Generation, ...] = get_args(Generation)

DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ns|us|ms|s|m|h))+")
DURATION_PART = re.compile(r"(\d+(?:\.\d*)?)(ns|us|ms|s|m|h)")
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DEFAULT_TIMEOUT = 300.0
YES = ("true", "1", "yes", "on")


class MissingSetting(Exception):
    """A required variable is not set. The sidecar exits with 1."""


def duration(text: str, otherwise: float) -> float:
    """Seconds of a Go duration. An invalid one silently gives ``otherwise``, as in released sidecars."""
    if not DURATION.fullmatch(text):
        return otherwise
    return sum(float(number) * UNITS[unit] for number, unit in DURATION_PART.findall(text))


@dataclass(frozen=True)
class Settings:
    """The settings of one sidecar."""

    generation: Generation
    actor: str
    namespace: str
    directory: str
    timeout: float
    """Seconds that the runtime may take for a message."""
    ready_timeout: float
    sink: str
    """The actor that receives messages at the end of their route."""
    sump: str
    """The actor that receives failed messages."""
    is_end_actor: bool
    metrics: tuple[str, int]
    policies: str
    rules: str

    @property
    def socket(self) -> str:
        """The path of the runtime's socket."""
        return f"{self.directory}/asya-runtime.sock"

    def queue(self, actor: str) -> str:
        """The queue of an actor. The sidecar assumes that it is in the same namespace."""
        return f"asya-{actor}" if self.generation == "frames" else f"asya-{self.namespace}-{actor}"


def read(generation: str, env: Mapping[str, str]) -> Settings:
    """The settings in ``env``.

    Raises:
        MissingSetting: if a required variable is missing.
    """
    if generation not in GENERATIONS:
        raise MissingSetting(f"no such generation: {generation}")
    for name in ("ASYA_ACTOR_NAME", *(("ASYA_NAMESPACE",) if generation != "frames" else ())):
        if not env.get(name):
            raise MissingSetting(f"{name} is required")
    http = generation == "http"
    host, _, port = (env.get("ASYA_METRICS_ADDR") or ":8080").rpartition(":")
    time_limit = env.get("ASYA_RESILIENCY_ACTOR_TIMEOUT" if http else "ASYA_RUNTIME_TIMEOUT") or ""
    return Settings(
        generation=generation,
        actor=env["ASYA_ACTOR_NAME"],
        namespace=env.get("ASYA_NAMESPACE") or "",
        directory=env.get("ASYA_SOCKET_DIR") or "/var/run/asya",
        timeout=duration(time_limit, DEFAULT_TIMEOUT),
        ready_timeout=duration(env.get("ASYA_RUNTIME_READY_TIMEOUT") or "", DEFAULT_TIMEOUT),
        sink=env.get("ASYA_ACTOR_SINK" if http else "ASYA_ACTOR_HAPPY_END") or ("x-sink" if http else "happy-end"),
        sump=env.get("ASYA_ACTOR_SUMP" if http else "ASYA_ACTOR_ERROR_END") or ("x-sump" if http else "error-end"),
        is_end_actor=(env.get("ASYA_IS_END_ACTOR") or "").lower() in YES,
        metrics=(host, int(port)),
        policies=env.get("ASYA_RESILIENCY_POLICIES") or "",
        rules=env.get("ASYA_RESILIENCY_RULES") or "",
    )
