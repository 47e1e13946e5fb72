"""The Kubernetes version in responses of API servers."""

from typing import Any

import pytest

from kube.client import version_of
from kube.failures import ApiError


@pytest.mark.parametrize(
    ("info", "version"),
    [
        ({"major": "1", "minor": "36", "gitVersion": "v1.36.2"}, (1, 36)),
        ({"major": "1", "minor": "27+", "gitVersion": "v1.27.9-eks-1"}, (1, 27)),
        ({"major": "", "minor": "", "gitVersion": "v1.25.10"}, (1, 25)),
        ({"major": "1", "minor": "30+"}, (1, 30)),
    ],
)
def test_versions(info: dict[str, Any], version: tuple[int, int]) -> None:
    assert version_of(info) == version


@pytest.mark.parametrize("info", [{}, {"major": "", "minor": ""}, {"gitVersion": None}, {"gitVersion": "unknown"}])
def test_a_response_without_a_version_is_a_server_error(info: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="contains no version"):
        version_of(info)
