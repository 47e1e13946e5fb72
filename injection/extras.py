"""Reads the extras that a platform adds to every sidecar: pull secrets, a security context, and volumes.

A volume can contain, for example, the platform's CAs. The names of volumes start with ``asya-``, so that un-injection
can distinguish them from the user's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from crds.names import RABBITMQ_VOLUME, RUNTIME_VOLUME, SOCKET_VOLUME
from kube.objects import Object

PREFIX: Final = "asya-"
OWN: Final = (SOCKET_VOLUME, RUNTIME_VOLUME, RABBITMQ_VOLUME)


class InvalidExtra(ValueError):
    """A setting is invalid. The message names the variable, its value and the valid values."""


@dataclass(frozen=True)
class Extras:
    """The platform's additions, by default none. Templates share the values, so never change them."""

    pull_secrets: Sequence[str] = ()
    """Names of pull secrets for every injected pod."""
    security_context: Mapping[str, Any] = field(default_factory=dict)
    """Fields that override those of the sidecar's security context."""
    volumes: Sequence[Object] = ()
    volume_mounts: Sequence[Object] = ()
    """Volume mounts of the sidecar."""


def is_extra(volume: Any) -> bool:
    """Whether ``volume`` is a name that a platform's volume may have."""
    return isinstance(volume, str) and volume.startswith(PREFIX) and volume not in OWN


def extras(env: Mapping[str, str]) -> Extras:
    """Return the extras from ``ASYA_SIDECAR_*``.

    Raises:
        InvalidExtra: a variable has an invalid value.
    """
    secrets = _json(env, "ASYA_SIDECAR_IMAGE_PULL_SECRETS", "[]", list)
    if not all(isinstance(name, str) and name for name in secrets):
        raise InvalidExtra(f"ASYA_SIDECAR_IMAGE_PULL_SECRETS: must be a JSON list of names; found {secrets!r}")
    volumes = _json(env, "ASYA_SIDECAR_VOLUMES", "[]", list)
    for volume in volumes:
        if not isinstance(volume, dict) or not is_extra(volume.get("name")):
            raise InvalidExtra(
                f"ASYA_SIDECAR_VOLUMES: each volume needs a name that starts with {PREFIX} and is not one of "
                f"{', '.join(OWN)}; found {volume!r}"
            )
    names = {volume["name"] for volume in volumes}
    mounts = _json(env, "ASYA_SIDECAR_VOLUME_MOUNTS", "[]", list)
    for mount in mounts:
        if not isinstance(mount, dict) or mount.get("name") not in names or not mount.get("mountPath"):
            raise InvalidExtra(
                "ASYA_SIDECAR_VOLUME_MOUNTS: each mount needs a mountPath and the name of a volume in "
                f"ASYA_SIDECAR_VOLUMES ({', '.join(sorted(names)) or 'none'}); found {mount!r}"
            )
    context = _json(env, "ASYA_SIDECAR_SECURITY_CONTEXT", "{}", dict)
    return Extras(tuple(secrets), context, tuple(volumes), tuple(mounts))


def _json(env: Mapping[str, str], name: str, default: str, kind: type) -> Any:
    try:
        parsed = orjson.loads(env.get(name) or default)
    except orjson.JSONDecodeError as error:
        raise InvalidExtra(f"{name}: must be JSON: {error}") from None
    if not isinstance(parsed, kind):
        raise InvalidExtra(f"{name}: must be a JSON {'list' if kind is list else 'object'}; found {parsed!r}")
    return parsed
