"""Writes values as YAML or JSON text from which kubectl and YAML 1.1 parsers read the same values."""

import json
import re
from functools import lru_cache
from typing import Any

import yaml

from files.scalars import resolve

_SIMPLE = re.compile(r"[A-Za-z/][A-Za-z0-9_/.-]*")
_SINGLE = re.compile(r"[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
_ESCAPED = re.compile(r"[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


@lru_cache(maxsize=16384)
def text_scalar(text: str) -> str:
    """A string as a scalar: plain where every parser reads that string, else quoted."""
    if _is_plain(text):
        return text
    if _SINGLE.fullmatch(text):
        return "'" + text.replace("'", "''") + "'"
    return double_quoted(text)


def double_quoted(text: str) -> str:
    """A string in double quotes, as in JSON. Characters that YAML does not allow are escaped."""
    return _ESCAPED.sub(_escaped, json.dumps(text, ensure_ascii=False))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_plain(text: str) -> bool:
    if type(resolve(text)) is not str or text == "<<":
        return False
    if _SIMPLE.fullmatch(text):
        return True
    try:
        return bool(yaml.load(f"[{text}]", yaml.CSafeLoader) == [text])
    except (yaml.YAMLError, ValueError):
        return False


def scalar(value: Any, *, as_json: bool = False) -> str:
    """The text of a scalar."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if as_json else text_scalar(value)
    if isinstance(value, float) and not as_json:
        # Without a sign in the exponent and a point, YAML 1.1 reads text.
        mantissa, e, exponent = repr(value).partition("e")
        return mantissa + (f"{'' if '.' in mantissa else '.0'}e{int(exponent):+d}" if e else "")
    return json.dumps(value)


def flow(value: Any, *, as_json: bool = False, separators: tuple[str, str] = (", ", ": ")) -> str:
    """A value on one line."""
    between, colon = separators
    if isinstance(value, dict):
        pairs = (
            f"{scalar(k, as_json=as_json)}{colon}{flow(v, as_json=as_json, separators=separators)}"
            for k, v in value.items()
        )
        return "{" + between.join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + between.join(flow(v, as_json=as_json, separators=separators) for v in value) + "]"
    return scalar(value, as_json=as_json)


def block(value: Any, column: int, offset: int) -> list[str]:
    """Lines of a map or a list that is not empty, each with its indentation.

    Args:
        column: column of the keys or dashes.
        offset: indentation of a list's dashes, relative to the key above them.
    """
    pad = " " * column
    lines: list[str] = []
    if isinstance(value, dict):
        for name, child in value.items():
            head = f"{pad}{scalar(name)}:"
            if isinstance(child, dict | list | tuple) and child:
                lines.append(head)
                lines += block(child, column + (2 if isinstance(child, dict) else offset), offset)
            else:
                lines.append(f"{head} {text_scalar(child) if type(child) is str else flow(child)}")
        return lines
    for item in value:
        if isinstance(item, dict | list | tuple) and item:
            inner = block(item, column + 2, offset)
            lines += [f"{pad}- {inner[0][column + 2 :]}", *inner[1:]]
        else:
            lines.append(f"{pad}- {flow(item)}")
    return lines
