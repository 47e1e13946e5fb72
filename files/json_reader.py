"""Reads JSON into the same nodes as YAML. kubectl reads a file that begins with a brace as a stream of JSON objects."""

import re
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]
from typing import Any

from files.nodes import Node
from files.scalars import through_json

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class NotJson(ValueError):
    """A text that is not JSON; ``position`` is the position of the fault."""

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(problem)
        self.position = position


def read_json(text: str, position: int) -> Node:
    """The JSON value at ``position``.

    Raises:
        NotJson: if there is none.
    """
    try:
        return _value(text, _skip(text, position))
    except JSONDecodeError as error:
        raise NotJson(error.pos, error.msg) from None
    except RecursionError:
        raise NotJson(position, "is nested too deeply") from None


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None, "it matches nothing too"
    return match.end()


def _value(text: str, at: int) -> Node:
    first = text[at : at + 1]
    if first == "{":
        return _map(text, at)
    if first == "[":
        return _list(text, at)
    if first == '"':
        return _string(text, at)
    if number := _NUMBER.match(text, at):
        digits = number[0]
        try:
            value = through_json(int(digits) if digits.lstrip("-").isdigit() else float(digits))
        except ValueError:
            raise NotJson(at, f"the number {digits} is too large") from None
        return Node("scalar", at, number.end(), _within_64_bits(value))
    for word, value in _WORDS.items():
        if text.startswith(word, at):
            return Node("scalar", at, at + len(word), value)
    raise NotJson(at, "a JSON value is missing")


def _within_64_bits(value: Any) -> Any:
    return float(value) if type(value) is int and not -(1 << 63) <= value < 1 << 63 else value


def _string(text: str, at: int) -> Node:
    value, end = scanstring(text, at + 1, True)
    # Go also replaces a surrogate without its other half.
    return Node("scalar", at, end, _SURROGATE.sub("\ufffd", value))


def _list(text: str, at: int) -> Node:
    node = Node("list", at, at, None)
    end = _skip(text, at + 1)
    while text[end : end + 1] != "]":
        if node.items:
            end = _expect(text, end, ",")
        item = _value(text, end)
        node.items.append(item)
        end = _skip(text, item.end)
    node.value, node.end = [item.value for item in node.items], end + 1
    return node


def _map(text: str, at: int) -> Node:
    node, value = Node("map", at, at, None), dict[str, Any]()
    end = _skip(text, at + 1)
    while text[end : end + 1] != "}":
        if node.entries:
            end = _expect(text, end, ",")
        if text[end : end + 1] != '"':
            raise NotJson(end, "a key in double quotes is missing")
        key = _string(text, end)
        if key.value in value:
            raise NotJson(end, f"the key {key.value!r} is there twice")
        child = _value(text, _expect(text, _skip(text, key.end), ":"))
        node.entries.append((key.value, key, child))
        value[key.value] = child.value
        end = _skip(text, child.end)
    node.value, node.end = value, end + 1
    return node


def _expect(text: str, at: int, mark: str) -> int:
    if text[at : at + 1] != mark:
        raise NotJson(at, f"{mark!r} is missing")
    return _skip(text, at + 1)
