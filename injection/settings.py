"""The operator's side of an injection: what holds for every sidecar unless its actor says otherwise.

Read once at start-up from the environment that the chart sets, so that a request does no such work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import orjson

from crds.models import GenerationSetting

DEFAULT_IMAGE = "ghcr.io/deliveryhero/asya-sidecar:1.1.3"
"""Pinned, so that no pod of an actor differs from the others: ``latest`` moves with every release of the sidecar.
The chart's values and the docs follow from it."""

DEFAULT_RESOURCES: dict[str, Any] = {
    "requests": {"cpu": "50m", "memory": "64Mi"},
    "limits": {"memory": "256Mi"},
}

GENERATIONS: tuple[str, ...] = get_args(GenerationSetting)

RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What the ``restricted`` Pod Security profile asks of a container, but for ``runAsNonRoot``, which
follows the runtime container: https://kubernetes.io/docs/concepts/security/pod-security-standards/"""


@dataclass(frozen=True)
class SidecarDefaults:
    """Sidecar settings of the operator; an actor's ``spec.sidecar`` wins over the first three."""

    image: str = DEFAULT_IMAGE
    image_pull_policy: str = "IfNotPresent"
    resources: Mapping[str, Any] = field(default_factory=lambda: DEFAULT_RESOURCES)
    metrics_port: int = 9095
    log_level: str = "INFO"
    gateway_url: str = ""
    generation: GenerationSetting = "auto"
    """Which generation of the sidecar the images hold; ``auto`` has their tags tell."""
    native_sidecars: bool = True
    """Whether the cluster has native sidecars (Kubernetes 1.29)."""
    runtime_rollout: bool = True
    """Whether a changed runtime script rolls workloads over, since a pod never sees a change of what it mounts."""


def has_native_sidecars(version: tuple[int, int]) -> bool:
    """Whether Kubernetes of that major and minor version runs native sidecars without a feature gate."""
    return version >= (1, 29)


class InvalidSetting(ValueError):
    """A setting that cannot be used; the message names the variable, what was found and what is valid."""


def from_environment(env: Mapping[str, str], native_sidecars: bool = True) -> SidecarDefaults:
    """Sidecar defaults from ``ASYA_SIDECAR_*``, ``ASYA_LOG_LEVEL`` and ``ASYA_GATEWAY_URL``.

    Raises:
        InvalidSetting: if one of them cannot be used.
    """
    try:
        resources = orjson.loads(env.get("ASYA_SIDECAR_RESOURCES") or orjson.dumps(DEFAULT_RESOURCES))
    except orjson.JSONDecodeError as error:
        raise InvalidSetting(f"ASYA_SIDECAR_RESOURCES: must be JSON: {error}") from None
    if not isinstance(resources, dict):
        raise InvalidSetting("ASYA_SIDECAR_RESOURCES: must be a JSON object with requests and limits")
    port = env.get("ASYA_SIDECAR_METRICS_PORT") or "9095"
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidSetting(f"ASYA_SIDECAR_METRICS_PORT: must be a port from 1 to 65535; found {port!r}")
    rollout = env.get("ASYA_RUNTIME_ROLLOUT") or "true"
    if rollout not in ("true", "false"):
        raise InvalidSetting(f"ASYA_RUNTIME_ROLLOUT: must be true or false; found {rollout!r}")
    policy = env.get("ASYA_SIDECAR_IMAGE_PULL_POLICY") or "IfNotPresent"
    if policy not in ("Always", "IfNotPresent", "Never"):
        raise InvalidSetting(f"ASYA_SIDECAR_IMAGE_PULL_POLICY: must be Always, IfNotPresent or Never; found {policy!r}")
    generation = env.get("ASYA_SIDECAR_GENERATION") or "auto"
    if generation not in GENERATIONS:
        raise InvalidSetting(f"ASYA_SIDECAR_GENERATION: must be one of {', '.join(GENERATIONS)}; found {generation!r}")
    return SidecarDefaults(
        image=env.get("ASYA_SIDECAR_IMAGE") or DEFAULT_IMAGE,
        image_pull_policy=policy,
        resources=resources,
        metrics_port=int(port),
        log_level=env.get("ASYA_SIDECAR_LOG_LEVEL") or "INFO",
        gateway_url=env.get("ASYA_GATEWAY_URL") or "",
        generation=cast(GenerationSetting, generation),
        native_sidecars=native_sidecars,
        runtime_rollout=rollout == "true",
    )
