"""The operator's settings for injection. They apply to every sidecar unless its actor overrides them.

A process reads them once, when it starts, from the environment that the chart sets.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import orjson

from crds.models import GenerationSetting
from injection.extras import Extras, InvalidExtra, extras

DEFAULT_IMAGE = "ghcr.io/deliveryhero/asya-sidecar:1.1.3"
"""The pinned image. ``latest`` moves with every release of the sidecar, so the pods of an actor could differ.

The chart's values and the docs use the same image."""

DEFAULT_RESOURCES: dict[str, Any] = {
    "requests": {"cpu": "50m", "memory": "64Mi"},
    "limits": {"memory": "256Mi"},
}

BOOLEANS = ("true", "false")
OTEL_PROTOCOLS = ("grpc", "http/protobuf", "http/json")
GENERATIONS: tuple[str, ...] = get_args(GenerationSetting)

RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The fields that the ``restricted`` Pod Security profile requires of a container, without ``runAsNonRoot``.

``runAsNonRoot`` comes from the runtime container. https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""


@dataclass(frozen=True)
class SidecarDefaults:
    """The operator's settings for sidecars. An actor's ``spec.sidecar`` overrides the first three."""

    image: str = DEFAULT_IMAGE
    image_pull_policy: str = "IfNotPresent"
    resources: Mapping[str, Any] = field(default_factory=lambda: DEFAULT_RESOURCES)
    metrics_port: int = 9095
    log_level: str = "INFO"
    gateway_url: str = ""
    generation: GenerationSetting = "auto"
    """Generation of the sidecar in the images. ``auto`` derives it from their tags."""
    socket_activation: bool = True
    """Whether a separate container holds the socket. It needs native sidecars."""
    runtime_port: int = 9096
    """Port on which the runtime script answers readiness probes."""
    run_as_user: int = 65532
    """Numeric user ID of a sidecar whose pod sets ``runAsNonRoot`` without a numeric user ID."""
    otel_endpoint: str = ""
    otel_protocol: str = ""
    native_sidecars: bool = True
    """Whether the cluster has native sidecars (Kubernetes 1.29)."""
    extras: Extras = field(default_factory=Extras)
    runtime_rollout: bool = True
    """Whether a changed runtime script causes a rollout. A running pod does not see a change of its ``subPath`` mount.
    """


def has_native_sidecars(version: tuple[int, int]) -> bool:
    """Whether this major and minor version of Kubernetes supports native sidecars without a feature gate."""
    return version >= (1, 29)


class InvalidSetting(ValueError):
    """A setting is invalid. The message names the variable, its value and the valid values."""


def from_environment(env: Mapping[str, str], native_sidecars: bool = True) -> SidecarDefaults:
    """Return the settings from ``ASYA_SIDECAR_*`` and the other variables that the chart sets.

    Raises:
        InvalidSetting: a variable has an invalid value.
    """
    try:
        resources = orjson.loads(env.get("ASYA_SIDECAR_RESOURCES") or orjson.dumps(DEFAULT_RESOURCES))
    except orjson.JSONDecodeError as error:
        raise InvalidSetting(f"ASYA_SIDECAR_RESOURCES: must be JSON: {error}") from None
    if not isinstance(resources, dict):
        raise InvalidSetting("ASYA_SIDECAR_RESOURCES: must be a JSON object with requests and limits")
    metrics_port = _number(env, "ASYA_SIDECAR_METRICS_PORT", 9095, 65535, "a port")
    runtime_port = _number(env, "ASYA_RUNTIME_PORT", 9096, 65535, "a port")
    if metrics_port == runtime_port:
        raise InvalidSetting(
            f"ASYA_RUNTIME_PORT: must differ from ASYA_SIDECAR_METRICS_PORT, because both are ports of one pod; "
            f"found {runtime_port} for both"
        )
    policy = _choice(env, "ASYA_SIDECAR_IMAGE_PULL_POLICY", "IfNotPresent", ("Always", "IfNotPresent", "Never"))
    endpoint = env.get("ASYA_OTEL_ENDPOINT") or ""
    if endpoint and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", endpoint):
        raise InvalidSetting(
            f"ASYA_OTEL_ENDPOINT: must be a URL such as http://otel-collector.observability:4317; found {endpoint!r}"
        )
    return SidecarDefaults(
        image=env.get("ASYA_SIDECAR_IMAGE") or DEFAULT_IMAGE,
        image_pull_policy=policy,
        resources=resources,
        metrics_port=metrics_port,
        log_level=env.get("ASYA_SIDECAR_LOG_LEVEL") or "INFO",
        gateway_url=env.get("ASYA_GATEWAY_URL") or "",
        generation=cast(GenerationSetting, _choice(env, "ASYA_SIDECAR_GENERATION", "auto", GENERATIONS)),
        socket_activation=_choice(env, "ASYA_SOCKET_ACTIVATION", "true", BOOLEANS) == "true",
        runtime_port=runtime_port,
        run_as_user=_number(env, "ASYA_SIDECAR_RUN_AS_USER", 65532, 2**31 - 1, "a numeric user ID other than root's"),
        otel_endpoint=endpoint,
        otel_protocol=_choice(env, "ASYA_OTEL_PROTOCOL", "", OTEL_PROTOCOLS),
        native_sidecars=native_sidecars,
        extras=_extras(env),
        runtime_rollout=_choice(env, "ASYA_RUNTIME_ROLLOUT", "true", BOOLEANS) == "true",
    )


def _extras(env: Mapping[str, str]) -> Extras:
    try:
        return extras(env)
    except InvalidExtra as invalid:
        raise InvalidSetting(str(invalid)) from None


def _choice(env: Mapping[str, str], name: str, default: str, valid: Sequence[str]) -> str:
    value = env.get(name) or default
    if value != default and value not in valid:
        raise InvalidSetting(f"{name}: must be {' or '.join([', '.join(valid[:-1]), valid[-1]])}; found {value!r}")
    return value


def _number(env: Mapping[str, str], name: str, default: int, maximum: int, noun: str) -> int:
    value = env.get(name) or str(default)
    if not (value.isascii() and value.isdigit() and len(value) < 11) or not 0 < int(value) <= maximum:
        raise InvalidSetting(f"{name}: must be {noun} from 1 to {maximum}; found {value!r}")
    return int(value)
