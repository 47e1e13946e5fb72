"""Patches turn the old version into the new one, for any two versions."""

from typing import Any

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st

from webhook.patch import operations

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "a/b", "~"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "x", "a/b", "m~n"]), inner, max_size=3)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b/c", "~d"]), JSON, max_size=3)


@given(OBJECTS, OBJECTS)
def test_the_patch_gives_the_new_version(old: Any, new: Any) -> None:
    result = jsonpatch.apply_patch(old, operations(old, new))
    assert result == new
    assert repr(result) == repr(new) or result == new


@given(OBJECTS)
def test_the_same_object_needs_no_patch(obj: Any) -> None:
    assert operations(obj, obj) == []


def test_true_differs_from_one() -> None:
    assert operations({"a": 1}, {"a": True}) == [{"op": "replace", "path": "/a", "value": True}]


def test_an_inserted_first_element_is_one_operation() -> None:
    old = [{"name": "a"}, {"name": "b"}]
    assert operations({"l": old}, {"l": [{"name": "s"}, *old]}) == [
        {"op": "add", "path": "/l/0", "value": {"name": "s"}}
    ]
