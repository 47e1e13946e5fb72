"""Label and field selectors, as objects and as strings of a query."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.errors import Failure

Object = dict[str, Any]
Labels = Mapping[str, str]


def matches(selector: Mapping[str, Any] | None, labels: Labels) -> bool:
    """Whether a LabelSelector (``matchLabels``, ``matchExpressions``) matches. An empty one matches everything."""
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for requirement in (selector or {}).get("matchExpressions") or ():
        operator, key = requirement["operator"], requirement["key"]
        values = requirement.get("values") or ()
        if operator == "In" and labels.get(key) not in values:
            return False
        if operator == "NotIn" and labels.get(key) in values:
            return False
        if operator == "Exists" and key not in labels:
            return False
        if operator == "DoesNotExist" and key in labels:
            return False
    return True


_TERM = re.compile(r"^\s*(!?)([\w./-]+)\s*(?:(==|=|!=)\s*([\w./:-]*)|\s+(in|notin)\s+\(([^)]*)\))?\s*$")


def label_filter(text: str) -> Callable[[Object], bool]:
    """A predicate on objects from a ``labelSelector`` query.

    Raises:
        Failure: 400, if it cannot be parsed.
    """
    terms = []
    for part in re.split(r",(?![^(]*\))", text) if text else ():
        match = _TERM.match(part)
        if not match:
            raise Failure(400, f"unable to parse requirement: {part!r}")
        terms.append(match.groups())

    def accept(obj: Object) -> bool:
        labels = obj["metadata"].get("labels") or {}
        for absent, key, operator, value, set_operator, values in terms:
            members = [v.strip() for v in (values or "").split(",")]
            if set_operator == "in":
                is_match = labels.get(key) in members
            elif set_operator == "notin":
                is_match = labels.get(key) not in members
            elif operator == "!=":
                is_match = labels.get(key) != value
            elif operator:
                is_match = labels.get(key) == value
            else:
                is_match = (key in labels) != bool(absent)
            if not is_match:
                return False
        return True

    return accept


def field_filter(text: str) -> Callable[[Object], bool]:
    """A predicate on objects from a ``fieldSelector`` query."""
    terms = []
    for part in text.split(",") if text else ():
        path, operator, value = re.split(r"(!=|==|=)", part, maxsplit=1)
        terms.append((path.split("."), operator == "!=", value))

    def accept(obj: Object) -> bool:
        for path, negated, value in terms:
            node: Any = obj
            for name in path:
                node = node.get(name) if isinstance(node, dict) else None
            if ((node or "") == value) == negated:
                return False
        return True

    return accept
