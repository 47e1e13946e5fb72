"""What a platform adds to every sidecar: pull secrets, a security context, and volumes such as one with its CAs.

Volumes have names of ours, ``asya-…``, so that injection can tell them from the user's when it takes them out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from crds.names import RABBITMQ_VOLUME, RUNTIME_VOLUME, SOCKET_VOLUME

Object = dict[str, Any]

PREFIX: Final = "asya-"
OWN: Final = (SOCKET_VOLUME, RUNTIME_VOLUME, RABBITMQ_VOLUME)


class InvalidExtra(ValueError):
    """A setting that cannot be used; the message names the variable, what was found and what is valid."""


@dataclass(frozen=True)
class Extras:
    """Nothing, unless it is set. The values are shared: never change them."""

    pull_secrets: Sequence[str] = ()
    """Names of pull secrets that every injected pod gets."""
    security_context: Mapping[str, Any] = field(default_factory=dict)
    """Over the sidecar's own, field by field."""
    volumes: Sequence[Object] = ()
    volume_mounts: Sequence[Object] = ()
    """Of the sidecar."""


def is_extra(volume: Any) -> bool:
    """Whether it is the name of a volume that a platform may add."""
    return isinstance(volume, str) and volume.startswith(PREFIX) and volume not in OWN


def extras(env: Mapping[str, str]) -> Extras:
    """The extras in ``ASYA_SIDECAR_*``.

    Raises:
        InvalidExtra: if one of them cannot be used.
    """
    secrets = _json(env, "ASYA_SIDECAR_IMAGE_PULL_SECRETS", "[]", list)
    if not all(isinstance(name, str) and name for name in secrets):
        raise InvalidExtra(f"ASYA_SIDECAR_IMAGE_PULL_SECRETS: must be a JSON list of names; found {secrets!r}")
    volumes = _json(env, "ASYA_SIDECAR_VOLUMES", "[]", list)
    for volume in volumes:
        if not isinstance(volume, dict) or not is_extra(volume.get("name")):
            raise InvalidExtra(
                f"ASYA_SIDECAR_VOLUMES: each must be a volume whose name begins with {PREFIX} and is none of "
                f"{', '.join(OWN)}; found {volume!r}"
            )
    names = {volume["name"] for volume in volumes}
    mounts = _json(env, "ASYA_SIDECAR_VOLUME_MOUNTS", "[]", list)
    for mount in mounts:
        if not isinstance(mount, dict) or mount.get("name") not in names or not mount.get("mountPath"):
            raise InvalidExtra(
                "ASYA_SIDECAR_VOLUME_MOUNTS: each must have a mountPath and the name of a volume in "
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
