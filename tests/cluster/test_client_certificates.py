"""An API server that sends the webhook a client certificate, configured as in docs/security.md."""

from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from kube.resources import ASYNC_ACTORS, PODS
from tests.bench.webhook import reviews
from tests.harness.clusters import free_port, start_real, wait_for
from tests.harness.operator import Operator
from tests.harness.space import actor
from tests.unit.test_review import OURS, client_certificate

PLUGINS = ("MutatingAdmissionWebhook", "ValidatingAdmissionWebhook")
GROUP = "apiserver.config.k8s.io/v1"


def configuration(directory: Path, host: str) -> Path:
    """The file for ``--admission-control-config-file``: a certificate for the webhook at ``host``."""
    client_certificate(OURS, "front-proxy-client", directory)
    certificate = str(directory / "front-proxy-client.pem")
    user = {"client-certificate": certificate, "client-key": certificate}
    kubeconfig, file = directory / "kubeconfig.yaml", directory / "config.yaml"
    kubeconfig.write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "users": [{"name": host, "user": user}]})
    )
    plugin = {"apiVersion": GROUP, "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": str(kubeconfig)}
    plugins = [{"name": name, "configuration": plugin} for name in PLUGINS]
    file.write_text(yaml.safe_dump({"apiVersion": GROUP, "kind": "AdmissionConfiguration", "plugins": plugins}))
    return file


def test_the_webhook_answers_the_api_server_and_not_a_pod(tier: str, tmp_path: Path) -> None:
    if tier == "sandbox":
        pytest.skip("the sandbox shows no certificate")
    port = free_port()
    file = configuration(tmp_path, f"127.0.0.1:{port}")
    cluster = start_real(
        tmp_path / "cluster", controller_manager=False, api_flags=[f"--admission-control-config-file={file}"]
    )
    operator = Operator(cluster, tmp_path / "operator")
    operator.port = port
    operator.environment |= {
        "ASYA_WEBHOOK_CLIENT_CA": OURS.certificate.decode(),
        "ASYA_WEBHOOK_CLIENT_NAMES": "front-proxy-client",
    }
    try:
        operator.install()
        operator.start_webhook()
        obj = actor("a")
        obj["metadata"]["namespace"] = "default"
        operator.client.apply(ASYNC_ACTORS, obj, manager="kubectl")
        metadata = {"generateName": "p-", "namespace": "default", "labels": {"asya.io/actor": "a"}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata} | {
            "spec": {"containers": [{"name": "runtime", "image": "x"}]}
        }

        def is_injected() -> Any:
            return operator.client.create(PODS, pod)["spec"]["containers"][0]["name"] == "sidecar"

        wait_for("an injected pod", is_injected, 15)
        pool = urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False)
        headers, url = {"Content-Type": "application/json"}, f"https://127.0.0.1:{port}/mutate"
        refused = pool.request("POST", url, body=reviews()["pod"], headers=headers, retries=False, timeout=5)
        assert (refused.status, b"patch" in refused.data) == (403, False)
    finally:
        operator.stop()
        cluster.stop()
