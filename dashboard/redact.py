"""Hides credentials in text that others wrote: logs, events, conditions and messages.

The dashboard never reads a Secret. A password still reaches it in a URL that a program logs, or as a plain value in a
pod's environment, so all text goes through here before it is sent to the browser.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from kube.objects import Object

HIDDEN: Final = "***"
SHORTEST: Final = 4
"""Characters. A shorter value would be hidden in the middle of ordinary words."""
# Repetitions have limits, so that no text takes longer than its length.
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


def redact(text: str, known: Iterable[str] = ()) -> str:
    """``text`` without credentials.

    Args:
        text: what somebody wrote.
        known: values that are secret, wherever they appear.
    """
    for value in known:
        text = text.replace(value, HIDDEN)
    text = _URL.sub(rf"\g<1>{HIDDEN}@", text)
    text = _HEADER.sub(rf"\g<1>{HIDDEN}", text)
    return _PAIR.sub(rf"\g<1>{HIDDEN}", text)


def redact_all(value: Any, known: Iterable[str] = ()) -> Any:
    """A copy of a JSON value whose strings are all redacted; its keys stay."""
    known = tuple(known)
    if isinstance(value, str):
        return redact(value, known)
    if isinstance(value, dict):
        return {key: redact_all(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(item, known) for item in value]
    return value


def plain_secrets(pod_specs: Iterable[Object]) -> list[str]:
    """The plain values of environment variables whose names say that they are secret, the longest first."""
    return sorted(set(_plain(pod_specs)), key=len, reverse=True)


def _plain(pod_specs: Iterable[Object]) -> Iterator[str]:
    for spec in pod_specs:
        for part in ("initContainers", "containers"):
            for container in spec.get(part) or ():
                for variable in container.get("env") or ():
                    value = variable.get("value")
                    if isinstance(value, str) and len(value) >= SHORTEST and _NAME.search(str(variable.get("name"))):
                        yield value
