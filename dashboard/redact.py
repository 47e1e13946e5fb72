"""Hides credentials in text from other sources: logs, Events, conditions and messages.

The dashboard never reads a Secret. But a program may log a URL with a password, and a pod's environment may have a
password as a plain value. So all such text is redacted before it is sent to the browser.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from kube.objects import Object

HIDDEN: Final = "***"
SHORTEST: Final = 4
"""The fewest characters of a value that is hidden. A shorter value may be a part of ordinary words."""
# All repetitions have limits, so the time grows only with the length of the text.
_SENSITIVE: Final = r"(?:pass(?:word|wd|phrase)|secret|token(?!s)|api_?-?key|access_?-?key|credential)[\w-]{0,64}"
_URL: Final = re.compile(r"([a-z][a-z0-9+.-]{0,20}://)[^\s\"'<>]{0,1000}@", re.IGNORECASE)
_HEADER: Final = re.compile(
    r"(authorization[\"']?\s{0,8}[:=]\s{0,8}[\"']?)(?:(?:bearer|basic)\s{1,8})?[^\s\"',;]+", re.IGNORECASE
)
_PAIR: Final = re.compile(
    rf"({_SENSITIVE}(?:\\?[\"'])?\s{{0,8}}[:=]\s{{0,8}})(?:\\\".*?\\\"|\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,;&}}\]\"']+)",
    re.IGNORECASE,
)
_NAME: Final = re.compile(_SENSITIVE, re.IGNORECASE)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without credentials.

    Args:
        text: any text.
        secrets: secret values, which are hidden wherever they appear.
    """
    for value in secrets:
        text = text.replace(value, HIDDEN)
    text = _URL.sub(rf"\g<1>{HIDDEN}@", text)
    text = _HEADER.sub(rf"\g<1>{HIDDEN}", text)
    return _PAIR.sub(rf"\g<1>{HIDDEN}", text)


def redact_all(value: Any, secrets: Iterable[str] = ()) -> Any:
    """A copy of a JSON value with all strings redacted. Keys are not changed."""
    secrets = tuple(secrets)
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, dict):
        return {key: redact_all(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(item, secrets) for item in value]
    return value


def plain_secrets(pod_specs: Iterable[Object]) -> list[str]:
    """The plain values of environment variables with secret names, the longest first."""
    return sorted(set(_plain(pod_specs)), key=len, reverse=True)


def _plain(pod_specs: Iterable[Object]) -> Iterator[str]:
    for spec in pod_specs:
        for part in ("initContainers", "containers"):
            for container in spec.get(part) or ():
                for variable in container.get("env") or ():
                    value = variable.get("value")
                    if isinstance(value, str) and len(value) >= SHORTEST and _NAME.search(str(variable.get("name"))):
                        yield value
