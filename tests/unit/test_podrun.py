"""The rules by which podrun does as a kubelet does."""

import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest

from kube.client import Client
from tests.harness.clusters import wait_for
from tests.podrun.pod import CreateContainerConfigError, Image, Pod, expand


class Store:
    """An API that has one Secret and one ConfigMap."""

    def get(self, resource: Any, namespace: str, name: str) -> Any:
        data = {"Secret": {"k": "c2VjcmV0"}, "ConfigMap": {"app.py": "import os, sys; print(os.environ['PLACE'])"}}
        return {"data": data[resource.kind]} if (namespace, name) == ("n", "there") else None


def pod(directory: Path, *containers: dict[str, Any], **spec: Any) -> Pod:
    obj = {"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": list(containers), **spec}}
    return Pod(obj, cast(Client, Store()), directory / "pod", {"python": Image((sys.executable,))})


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("$(", "$("), ("$$$(A)", "$1"), ("$(A)$(A)", "11")],
)
def test_references_are_expanded_as_kubernetes_documents_it(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_variables_see_only_those_before_them(tmp_path: Path) -> None:
    env = [
        {"name": "EARLY", "value": "$(LATE)"},
        {"name": "LATE", "value": "x"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "there", "key": "k"}}},
        {"name": "BOTH", "value": "$(LATE)$(SECRET)"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    assert pod(tmp_path).environment({"env": env}) == {
        "EARLY": "$(LATE)",
        "LATE": "x",
        "SECRET": "secret",
        "BOTH": "xsecret",
        "POD": "p",
    }


@pytest.mark.parametrize("reference", [{"name": "missing", "key": "k"}, {"name": "there", "key": "missing"}])
def test_a_missing_secret_or_key_is_an_error(tmp_path: Path, reference: dict[str, str]) -> None:
    with pytest.raises(CreateContainerConfigError, match="missing"):
        pod(tmp_path).environment({"env": [{"name": "A", "valueFrom": {"secretKeyRef": reference}}]})


def test_mounts_are_mapped_and_what_ends_is_started_again(tmp_path: Path) -> None:
    container = {
        "name": "c",
        "image": "python",
        "args": ["/opt/app.py"],
        "env": [{"name": "PLACE", "value": "/var/run/asya"}],
        "volumeMounts": [
            {"name": "socket", "mountPath": "/var/run/asya"},
            {"name": "code", "mountPath": "/opt/app.py", "subPath": "app.py"},
        ],
    }
    volumes = [{"name": "socket", "emptyDir": {}}, {"name": "code", "configMap": {"name": "there"}}]
    running = pod(tmp_path, container, volumes=volumes)
    running.start()
    wait_for("a restart", lambda: running.restarts["c"] > 1)
    running.stop()
    assert running.log("c").splitlines()[0] == str(tmp_path / "pod" / "socket")
    ended = running.restarts["c"]
    time.sleep(0.3)
    assert running.restarts["c"] == ended
