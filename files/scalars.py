"""The types of YAML scalars as kubectl's parser reads them.

They follow neither YAML 1.1 nor the core schema of 1.2: ``yes`` and ``y`` are booleans, ``0o17`` and ``017`` are both
15, and ``22:30``, ``2024-05-06`` and ``=`` are text. kubectl then converts each value to JSON, so
``1e3`` is the integer 1000, and keys that are numbers or booleans become text.
"""

import base64
import binascii
import math
import re
import struct
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGERS: Final = (
    (re.compile(r"[+-]?0[xX][0-9a-fA-F]+"), 16),
    (re.compile(r"[+-]?0[bB][01]+"), 2),
    (re.compile(r"[+-]?0[oO]?[0-7]+"), 8),
    (re.compile(r"[+-]?(?:0|[1-9][0-9]*)"), 10),
)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_FRACTION: Final = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
_TIMESTAMP: Final = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?")
PREFIX: Final = "tag:yaml.org,2002:"
_RESOLVED: Final = ("str", "bool", "int", "float", "null", "timestamp")


class BadScalar(ValueError):
    """A scalar that its tag does not fit, or that JSON cannot hold."""


@lru_cache(maxsize=16384)
def resolve(text: str) -> Any:
    """The value of the plain scalar ``text``: text, a boolean, a number or None."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if first == ".":
        return _float(text.replace("_", ""), text) if _FRACTION.fullmatch(text) else text
    if first not in "+-0123456789":
        return text
    digits = text.replace("_", "")
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(digits):
            number = _integer(digits, base)
            if number is not None:
                return number
    return _float(digits, text) if _FLOAT.fullmatch(digits) else text


def _integer(digits: str, base: int) -> int | None:
    """An integer of 64 bits; None if it is larger. Without a sign in the text, it is unsigned."""
    sign = digits[0] if digits[0] in "+-" else ""
    bare = digits[len(sign) :]
    if base != 10 and bare[:2].lower() in ("0x", "0b", "0o"):
        bare = bare[2:]
    number = int(bare, base)
    if sign == "-":
        return -number if number <= 1 << 63 else None
    return number if number < (1 << 63 if sign else 1 << 64) else None


def _float(digits: str, text: str) -> Any:
    number = float(digits)
    return text if math.isinf(number) else number


def tagged(tag: str, text: str) -> Any:
    """The value of a scalar with an explicit tag.

    Raises:
        BadScalar: if the text does not fit the tag.
    """
    short = tag.removeprefix(PREFIX)
    if short == "binary" and short != tag:
        try:
            return base64.b64decode("".join(text.split()), validate=True).decode("utf-8", "replace")
        except binascii.Error:
            raise BadScalar("!!binary holds what is not base64") from None
    if short == tag or short not in _RESOLVED or short == "str":
        return text
    value = resolve(text)
    if short == "timestamp":
        if _TIMESTAMP.fullmatch(text):
            return text
    elif short == "float" and type(value) in (int, float):
        return float(value)
    elif _kind(value) == short:
        return value
    raise BadScalar(f"`{text}` is no !!{short}")


def _kind(value: Any) -> str:
    return {str: "str", bool: "bool", int: "int", float: "float", type(None): "null"}[type(value)]


def through_json(value: Any) -> Any:
    """A scalar after its conversion to JSON, where a number without a fraction is an integer.

    Raises:
        BadScalar: if JSON cannot hold it.
    """
    if type(value) is float:
        if math.isnan(value) or math.isinf(value):
            raise BadScalar(f"{value} cannot be in a Kubernetes object")
        if value.is_integer() and abs(value) < 1e21:
            integer = int(Decimal(repr(value)))
            return integer if -(1 << 63) <= integer < 1 << 63 else value
    elif type(value) is int and value >= 1 << 63:
        return float(value)
    return value


def key(value: Any) -> str:
    """A map's key in JSON.

    Raises:
        BadScalar: if it cannot be one.
    """
    if type(value) is str:
        return value
    if value is None:
        raise BadScalar("null cannot be a key")
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        if value >= 1 << 63:
            raise BadScalar(f"{value} cannot be a key")
        return str(value)
    return _go_float(value)


def _go_float(number: float) -> str:
    """A key that is a float: 32 bits in the shortest form. Exponents below -4 and from 6 on are written."""
    if math.isnan(number):
        return ".nan"
    try:
        (single,) = struct.unpack("f", struct.pack("f", number))
    except OverflowError:
        single = math.copysign(math.inf, number)
    if math.isinf(single):
        return ".inf" if single > 0 else "-.inf"
    shortest = next(t for p in range(10) if struct.pack("f", float(t := f"{single:.{p}e}")) == struct.pack("f", single))
    mantissa, _, exponent = shortest.partition("e")
    power = int(exponent)
    if not -4 <= power < 6:
        return f"{mantissa}e{power:+03d}"
    return f"{single:.{max(0, len(mantissa.lstrip('-')) - 2 - power if '.' in mantissa else -power)}f}"
