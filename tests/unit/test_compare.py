"""Whether a live object contains the desired fields."""

from typing import Any

import pytest

from kube.compare import contains


@pytest.mark.parametrize(
    ("live", "wanted", "holds"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ({}, {"a": None, "b": [], "c": {}, "d": ""}, True),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, {"limits": {"cpu": "1000m", "memory": "1024Mi"}}, True),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, False),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": 1}}, True),
        ({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1024Mi"}}, True),
        ({"other": {"cpu": "1"}}, {"other": {"cpu": "1000m"}}, False),
        ([{"name": "a", "x": 1}, {"name": "b"}], [{"name": "b"}], True),
        ([{"name": "a", "x": 1}], [{"name": "a", "x": 2}], False),
        ([{"name": "a"}], [{"name": "c"}], False),
        (["x", "y"], ["x", "y"], True),
        (["x", "y"], ["x"], False),
        (["y", "x"], ["x", "y"], False),
        (None, [], True),
        (None, {}, True),
        (None, ["x"], False),
        ("text", ["x"], False),
        ([{"name": {"not": "a name"}}, {"name": "a"}], [{"name": "a"}], True),
        ([{"name": "a"}], [{"name": ["a"]}], False),
    ],
)
def test_contains(live: Any, wanted: Any, holds: bool) -> None:
    assert contains(live, wanted) is holds
