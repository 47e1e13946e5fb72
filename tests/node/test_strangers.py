"""Responses of the webhook to a pod that is not an API server.

The responses tell nothing about an actor, unless the pod forges a complete review.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from kube.objects import Object
from tests.harness.clusters import wait_for
from tests.node.kubectl import apply, get, kubectl
from tests.node.site import IMAGE, Site

SYSTEM = "asya-system"
POST = """\
import json, ssl, sys, urllib.error, urllib.request
context = ssl._create_unverified_context()
answers = {}
for name, body in json.loads(sys.argv[2]).items():
    request = urllib.request.Request(sys.argv[1], json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            answers[name] = [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as refusal:
        answers[name] = [refusal.code, refusal.read().decode()]
print(json.dumps(answers))
"""
"""Posts each review of the second argument to the address in the first. Prints status and text of each response."""


def reviews(namespace: str, actor: str) -> dict[str, Object]:
    """Reviews that try to read an actor's sidecar: a simple one, one with another namespace's object, a forged one."""
    pod = {
        "metadata": {"name": "x", "namespace": namespace, "labels": {"asya.io/actor": actor}},
        "spec": {"containers": [{"name": "runtime", "image": "x"}]},
    }
    forged = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": namespace,
        "userInfo": {"username": "system:admin"},
        "object": pod,
    }
    simple = {"uid": "x", "operation": "CREATE", "namespace": namespace, "object": pod}
    kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    return {
        name: {**kind, "request": request}
        for name, request in {
            "simple": simple,
            "of nobody": {**forged, "userInfo": {}},
            "of elsewhere": {**forged, "namespace": "kube-public"},
            "forged": forged,
        }.items()
    }


def check(answers: dict[str, tuple[int, str]], secret: str) -> None:
    """Check that only the response to the forged review tells about the actor, and that none has a password."""
    for name in ("simple", "of nobody", "of elsewhere"):
        status, text = answers[name]
        assert (status, "patch" in text) == (400, False), (name, text)
    status, text = answers["forged"]
    assert status == 200, (
        "docs/security.md describes this remaining risk, without client certificates and a NetworkPolicy"
    )
    patch = base64.b64decode(json.loads(text)["response"]["patch"]).decode()
    assert secret in patch, "a forged review reads plain values"
    assert "secretKeyRef" in patch, "a password must be a reference"


@pytest.mark.parametrize("generation", ["frames"], indirect=True)
def test_a_pod_gets_no_response_meant_for_an_api_server(site: Site, report: Callable[[object], None]) -> None:
    secret = "what-nobody-else-may-see"
    obj = site.actor("theirs")
    obj["spec"]["sidecar"] = {**obj["spec"].get("sidecar", {}), "env": [{"name": "PLAIN", "value": secret}]}
    site.apply(obj)
    site.wait_condition("theirs", "WorkloadReady", "True", timeout=120)
    service: Any = get("service", "asya-operator-webhook", "--namespace", SYSTEM)
    address = f"https://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}/mutate"
    arguments = [address, json.dumps(reviews(site.name, "theirs"))]
    container = {"name": "stranger", "image": IMAGE, "command": ["python3", "-c", POST, *arguments]}
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    metadata = {"name": "stranger", "namespace": "default"}
    apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    try:

        def is_over() -> bool:
            phase = get("pod", "stranger", "--namespace", "default")["status"]["phase"]
            assert phase != "Failed", kubectl("-n", "default", "logs", "stranger")
            return bool(phase == "Succeeded")

        wait_for("the pod that posts", is_over, timeout=120, pause=1)
        answers = json.loads(kubectl("-n", "default", "logs", "stranger"))
        check(answers, secret)
        report(", ".join(f"{name}: {status}" for name, (status, _) in answers.items()))
    finally:
        kubectl("-n", "default", "delete", "pod", "stranger", "--ignore-not-found", "--wait=false")
