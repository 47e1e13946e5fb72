"""The control planes of ``make matrix``, and how it counts results."""

from pathlib import Path

import pytest

from tests.matrix import ControlPlane, Outcome, control_planes, outcome_of, problem


def test_the_environment_names_control_planes_and_the_oldest_is_first() -> None:
    environment = {
        "KUBEBUILDER_ASSETS_1_36": "/b",
        "KUBEBUILDER_ASSETS_1_9": "/a",
        "KUBEBUILDER_ASSETS": "/c",
        "KUBEBUILDER_ASSETS_1_30": "",
    }
    assert control_planes(environment) == [ControlPlane(1, 9, Path("/a")), ControlPlane(1, 36, Path("/b"))]


@pytest.mark.parametrize(
    ("printed", "message"), [("Kubernetes v1.29.1", ""), ("Kubernetes v1.2.9", "holds Kubernetes v1.2.9")]
)
def test_a_folder_must_have_the_version_of_its_name(tmp_path: Path, printed: str, message: str) -> None:
    for name in ("kube-apiserver", "kube-controller-manager", "etcd"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {printed}\n")
        (tmp_path / name).chmod(0o755)
    result = problem(ControlPlane(1, 29, tmp_path))
    assert message in result
    assert bool(message) == bool(result)


def test_a_missing_binary_is_named(tmp_path: Path) -> None:
    assert problem(ControlPlane(1, 29, tmp_path)) == f"KUBEBUILDER_ASSETS_1_29: no kube-apiserver in {tmp_path}"


def test_errors_count_as_failures() -> None:
    suite = '<testsuite tests="10" failures="1" errors="2" skipped="3" time="4.5"/>'
    assert outcome_of(f"<testsuites>{suite}</testsuites>") == Outcome(passed=4, failed=3, skipped=3, seconds=4.5)
