"""Quantities, compared with the official client's reading."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils import quantity as official

from kube.quantity import parse_quantity

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]


@given(st.decimals(0, 10**6, places=3), st.sampled_from(SUFFIXES))
def test_numbers_with_a_suffix(number: Decimal, suffix: str) -> None:
    text = f"{number}{suffix}"
    assert parse_quantity(text) == official.parse_quantity(text)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("text", "value"), [("1e3", "1000"), ("1E-3", "0.001"), (".5", "0.5"), ("-2", "-2"), ("5.", "5"), (3, "3")]
)
def test_other_forms(text: str | int, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "m", "1 Gi", "1gi", "1KB", "Gi1", "1e", "--1", "1.2.3", "½"])
def test_invalid_quantities_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a quantity"):
        parse_quantity(text)
