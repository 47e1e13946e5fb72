"""The chart, installed by a real helm. Its processes run on this host, as its Deployments describe them.

They have exactly the chart's arguments and environment, except for ports and the kubeconfig. The kubeconfig has the
token of the chart's ServiceAccount, so a right that the chart does not give is missing here too.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
import yaml

from kube.client import Client
from kube.informer import Informer
from kube.objects import Object
from kube.resources import DEPLOYMENTS, PODS, Resource
from tests.harness.balancer import Balancer
from tests.harness.clusters import ROOT, Cluster, Process, free_port, wait_for
from tests.harness.helm import Helm
from tests.harness.operator import install_keda

NAMESPACE = "asya-system"
HOOK = "app.kubernetes.io/component in (release,cleanup)"
"""Selects the pods of the chart's hooks."""
SERVICE_ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts")


@dataclass
class Replica:
    """One process of a Deployment."""

    process: Process
    port: int
    metrics_port: int


@dataclass
class Release:
    """A release on a cluster of its own."""

    cluster: Cluster
    directory: Path
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.client: Client = self.cluster.client()
        self.helm = Helm(self.cluster.kubeconfig, NAMESPACE)
        self.balancer = Balancer()
        self.webhooks: list[Replica] = []
        self.controllers: list[Replica] = []
        self._count = 0
        self._hooks: set[str] = set()
        """Pods of the chart's hook that have run already."""

    def uninstall(self) -> None:
        """Run ``helm uninstall``. The chart's hook runs in its Job's pods, which this starts as a kubelet would."""
        hook = Informer(self.client, PODS, self._run_hook, namespace=NAMESPACE, label_selector=HOOK)
        if self.cluster.real:  # the sandbox completes Jobs by itself, and runs nothing
            hook.start()
        try:
            self.helm.uninstall()
        finally:
            hook.stop()

    def install(self, **values: Any) -> None:
        """Run ``helm upgrade --install``."""
        webhook = {"url": f"https://127.0.0.1:{self.balancer.port}", **values.pop("webhook", {})}
        self.helm.install({**self.values, "webhook": webhook, **values})

    def start(self, *, webhooks: int = 1, **values: Any) -> None:
        """Install KEDA's CRDs and the chart, and start its processes."""
        install_keda(self.client)
        self.install(**values)
        self.start_controller()
        for _ in range(webhooks):
            self.start_webhook()

    def start_controller(self) -> Replica:
        """Start a controller."""
        replica = self._start("asya-operator", "controller")
        self.controllers.append(replica)
        return replica

    def start_webhook(self) -> Replica:
        """Start a replica of the webhook. It receives requests once it is ready."""
        replica = self._start("asya-operator-webhook", "webhook", "--bind", "127.0.0.1:{port}")
        pool = urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False)
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

        def ready() -> bool:
            assert replica.process.running, replica.process.tail()
            try:
                answer = pool.request("GET", f"https://127.0.0.1:{replica.port}/readyz", retries=False, timeout=2)
            except urllib3.exceptions.HTTPError:
                return False
            return bool(answer.status == 200)

        try:
            wait_for("the webhook", ready, 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{replica.process.tail()}") from None
        pool.clear()
        self.webhooks.append(replica)
        self.balancer.backends.append(replica.port)
        return replica

    def stop_webhook(self, replica: Replica, number: int = signal.SIGTERM) -> None:
        """Stop a replica as a rolling update does: remove it from the Service first."""
        self.balancer.backends.remove(replica.port)
        self.webhooks.remove(replica)
        replica.process.stop(number, timeout=40)

    def roll_webhook(self) -> None:
        """Replace every replica one by one. Each new replica is ready before an old one stops."""
        for old in list(self.webhooks):
            self.start_webhook()
            self.stop_webhook(old)

    def metrics(self, replica: Replica) -> str:
        """The metrics of a process."""
        answer = urllib3.request("GET", f"http://127.0.0.1:{replica.metrics_port}/metrics", retries=False, timeout=5)
        return str(answer.data.decode())

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Stop all processes."""
        for replica in [*self.controllers, *self.webhooks]:
            replica.process.stop(number)
        self.balancer.close()

    def _run_hook(self, pod: Object, deleted: bool) -> None:
        name, spec = pod["metadata"]["name"], pod["spec"]
        if deleted or name in self._hooks:
            return
        self._hooks.add(name)
        kubeconfig = self._kubeconfig(name, spec["serviceAccountName"])
        command = [sys.executable, "-m", "cli", *spec["containers"][0]["args"], "--kubeconfig", str(kubeconfig)]
        environment = {**os.environ, **_environment(spec["containers"][0], name)}
        completed = subprocess.run(command, env=environment, text=True, capture_output=True, check=False, cwd=ROOT)
        (self.directory / f"{name}.log").write_text(completed.stdout + completed.stderr)
        status = {"status": {"phase": "Failed" if completed.returncode else "Succeeded"}}
        self.client.merge_patch(PODS, NAMESPACE, name, status, subresource="status")

    def _start(self, deployment: str, name: str, *more: str) -> Replica:
        live = self.client.get(DEPLOYMENTS, NAMESPACE, deployment)
        assert live is not None
        pod = live["spec"]["template"]["spec"]
        container = next(c for c in pod["containers"] if c["name"] == name)
        self._count += 1
        port, metrics_port = free_port(), free_port()
        identity = f"{deployment}-{self._count}"
        environment = _environment(container, identity)
        environment["ASYA_METRICS_PORT"] = str(metrics_port)
        kubeconfig = self._kubeconfig(identity, pod["serviceAccountName"])
        arguments = [*container["args"], "--kubeconfig", str(kubeconfig), *(m.format(port=port) for m in more)]
        process = Process([sys.executable, "-m", "cli", *arguments], self.directory / f"{identity}.log", environment)
        return Replica(process.start(), port, metrics_port)

    def _kubeconfig(self, name: str, account: str) -> Path:
        config = yaml.safe_load(self.cluster.kubeconfig.read_text())
        if self.cluster.real:
            path = SERVICE_ACCOUNTS.path(NAMESPACE, account, "token")
            request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            config["users"][0]["user"] = {"token": self.client.request("POST", path, body=request)["status"]["token"]}
        file = self.directory / f"{name}.kubeconfig"
        file.write_text(yaml.safe_dump(config))
        return file


def _environment(container: Object, pod: str) -> dict[str, str]:
    """The environment variables of a container in a pod with this name."""
    fields = {"metadata.name": pod, "metadata.namespace": NAMESPACE}
    return {
        e["name"]: e["value"] if "value" in e else fields[e["valueFrom"]["fieldRef"]["fieldPath"]]
        for e in container["env"]
        if "value" in e or "valueFrom" in e
    }
