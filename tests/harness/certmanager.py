"""A real cert-manager for a cluster without nodes: its three processes run on this host.

They are ``cert-manager-controller``, ``cert-manager-cainjector`` and ``cert-manager-webhook``. Their binaries and the
definitions ``cert-manager.crds.yaml`` are in the folder ``CERT_MANAGER_ASSETS``, else with the control plane's
binaries.
"""

import os
from pathlib import Path
from typing import Any

import yaml

from kube.failures import ApiError
from kube.objects import Object
from kube.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, Resource
from tests.harness.clusters import ASSETS, Cluster, Process, free_port, wait_for

FOLDER = Path(os.environ.get("CERT_MANAGER_ASSETS") or ASSETS)
PROCESSES = ("controller", "cainjector", "webhook")
NAMESPACE = "cert-manager"
AUTHORITY = "cert-manager-webhook-ca"
"""Secret with the CA of cert-manager's own webhook."""
CERTIFICATES = Resource("cert-manager.io/v1", "Certificate", "certificates")
DEFINITIONS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")
NAMESPACES = Resource("v1", "Namespace", "namespaces")


def why_no_cert_manager() -> str:
    """The missing files. Empty if there are none."""
    required = [*(f"cert-manager-{name}" for name in PROCESSES), "cert-manager.crds.yaml"]
    missing = [name for name in required if not (FOLDER / name).exists()]
    return f"no {', no '.join(missing)} in {FOLDER}; CERT_MANAGER_ASSETS names another folder" if missing else ""


class CertManager:
    """One cert-manager, with rights in the whole cluster."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._client = cluster.client()
        self._port = free_port()
        common = [f"--kubeconfig={cluster.kubeconfig}", "--v=2"]
        election = ["--leader-elect=false"]
        serving = [
            f"--secure-port={self._port}",
            f"--healthz-port={free_port()}",
            f"--dynamic-serving-ca-secret-namespace={NAMESPACE}",
            f"--dynamic-serving-ca-secret-name={AUTHORITY}",
            "--dynamic-serving-dns-names=localhost",
        ]
        healthz = f"--internal-healthz-listen-address=127.0.0.1:{free_port()}"
        more = {"controller": [*election, healthz], "cainjector": election, "webhook": serving}
        self.processes = {
            name: Process(
                [
                    str(FOLDER / f"cert-manager-{name}"),
                    *common,
                    *more[name],
                    f"--metrics-listen-address=127.0.0.1:{free_port()}",
                ],
                directory / f"{name}.log",
                {"KUBECONFIG": str(cluster.kubeconfig)},
            )
            for name in PROCESSES
        }

    def start(self) -> None:
        """Install the definitions, start all processes, and wait until the API server accepts certificates."""
        for definition in filter(None, yaml.safe_load_all((FOLDER / "cert-manager.crds.yaml").read_text())):
            self._client.apply(DEFINITIONS, definition)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        self._client.apply(NAMESPACES, namespace)
        wait_for("the definitions", lambda: self._client.serves(CERTIFICATES.api_version, CERTIFICATES.plural))
        for process in self.processes.values():
            process.start()
        for resource, path in ((MUTATING_WEBHOOKS, "mutate"), (VALIDATING_WEBHOOKS, "validate")):
            self._client.apply(resource, self._configuration(resource, path))
        wait_for("cert-manager's webhook", self._is_asked, 60, 0.2)

    def stop(self) -> None:
        """Stop all processes."""
        for process in self.processes.values():
            process.stop()

    def renew(self, namespace: str, name: str) -> int:
        """Issue a certificate again, as ``cmctl renew`` does, and wait for it. Return its revision."""
        live = self._client.get(CERTIFICATES, namespace, name)
        assert live is not None, name
        before = live["status"].get("revision", 0)
        kept = [c for c in live["status"].get("conditions") or () if c["type"] != "Issuing"]
        issuing = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "a test"}
        patch = {"status": {"conditions": [*kept, {**issuing, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}
        self._client.merge_patch(CERTIFICATES, namespace, name, patch, subresource="status")

        def revision() -> int:
            status = (self._client.get(CERTIFICATES, namespace, name) or {})["status"]
            return int(status["revision"]) if status["revision"] > before else 0

        return wait_for(f"a new certificate {name}", revision, 60)

    def _is_asked(self) -> bool:
        assert all(process.running for process in self.processes.values()), {
            name: process.tail() for name, process in self.processes.items() if not process.running
        }
        invalid: Object = {
            "apiVersion": CERTIFICATES.api_version,
            "kind": CERTIFICATES.kind,
            "metadata": {"name": "asked", "namespace": NAMESPACE},
            "spec": {"secretName": "x", "dnsNames": ["x"], "duration": "1m", "issuerRef": {"name": "x"}},
        }
        try:
            self._client.request("POST", CERTIFICATES.path(NAMESPACE), query={"dryRun": "All"}, body=invalid)
        except ApiError as error:
            return "spec.duration" in error.message
        return False

    def _configuration(self, resource: Resource, path: str) -> dict[str, Any]:
        rule = {
            "apiGroups": ["cert-manager.io"],
            "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["certificaterequests"] if path == "mutate" else ["*/*"],
        }
        hook = {
            "name": "webhook.cert-manager.io",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "rules": [rule],
            "clientConfig": {"url": f"https://localhost:{self._port}/{path}"},
        }
        annotations = {"cert-manager.io/inject-ca-from-secret": f"{NAMESPACE}/{AUTHORITY}"}
        metadata = {"name": "cert-manager-webhook", "annotations": annotations}
        return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "webhooks": [hook]}
