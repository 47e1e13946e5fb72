"""The operator as in production: two processes, gunicorn and TLS, its CA in the webhook configuration."""

import base64
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import urllib3
import yaml

from certs.authority import create_authority, issue
from crds.manifest import manifest
from kube.client import Client
from kube.failures import ApiError
from kube.resources import CONFIG_MAPS, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, Resource
from runtime import SCRIPT
from tests.harness.clusters import Cluster, Process, free_port, start_sandbox, wait_for
from tests.harness.github import GitHub
from tests.harness.kubelet import played
from webhook.configuration import configurations

CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")
WEBHOOKS = {resource.kind: resource for resource in (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS)}
NAMESPACES = Resource("v1", "Namespace", "namespaces")
NAMESPACE = "asya-system"
REAL_KEDA = next(
    (folder for parent in Path(__file__).parents[2:] if (folder := parent / "shared" / "keda").is_dir()),
    Path("no-keda"),
)
"""KEDA's own CRDs, in a directory beside the project or above it."""
WEBHOOK_CONFIGURATION_SECONDS = 1.5
"""Seconds that a real API server may need to notice a changed webhook configuration."""
MINIMAL_KEDA = Path(__file__).with_name("keda.yaml")


def keda_crds() -> list[dict[str, Any]]:
    """KEDA's real CRDs if they are available, else minimal ones with the same names."""
    files = sorted(REAL_KEDA.glob("*.yaml")) if REAL_KEDA.is_dir() else [MINIMAL_KEDA]
    return [doc for file in files for doc in yaml.load_all(file.read_text(), yaml.CSafeLoader) if doc]


def install_crd(client: Client, crd: dict[str, Any]) -> None:
    """Apply ``crd`` and wait until the API server serves it."""
    client.apply(CRDS, crd, manager="test")
    spec = crd["spec"]
    path = f"{spec['group']}/{spec['versions'][0]['name']}"
    wait_for(f"{spec['names']['plural']} to be served", lambda: client.serves(path, spec["names"]["plural"]), 20)
    wait_for("its list", lambda: client.request("GET", f"/apis/{path}/{spec['names']['plural']}"), 20)


def install_keda(client: Client) -> None:
    """Install KEDA's CRDs."""
    for crd in keda_crds():
        install_crd(client, crd)


def uninstall_keda(client: Client) -> None:
    """Remove KEDA's CRDs and all their objects."""
    for crd in keda_crds():
        client.delete(CRDS, "", crd["metadata"]["name"])
    for crd in keda_crds():
        wait_for("the CRD to go", partial(_absent, client, crd["metadata"]["name"]), 30)


def _absent(client: Client, crd: str) -> bool:
    return client.get(CRDS, "", crd) is None


@dataclass
class Controller:
    """One controller process."""

    process: Process
    port: int

    def get(self, path: str) -> str:
        """The response of its telemetry server. Empty while the server does not run."""
        try:
            answer = urllib3.request("GET", f"http://127.0.0.1:{self.port}{path}", retries=False, timeout=2)
        except urllib3.exceptions.HTTPError:
            return ""
        return str(answer.data.decode())


@dataclass
class Operator:
    """Both processes on one cluster."""

    cluster: Cluster
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    kubeconfig: Path | None = None
    """The kubeconfig of the processes, if it differs from the tests'."""
    webhook: Process | None = None
    controllers: list[Controller] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = self.cluster.client()
        self.port, self.metrics_port = free_port(), free_port()
        self.script = self.directory / "asya_runtime.py"
        self.kubeconfig = self.kubeconfig or self.cluster.kubeconfig
        self.command = [sys.executable, "-m", "cli"]
        self.directory.mkdir(parents=True, exist_ok=True)

    def install(self) -> None:
        """The objects that the chart installs: CRD, namespace, certificate, webhook configurations."""
        shutil.copy(SCRIPT, self.script)
        install_crd(self.client, manifest())
        install_keda(self.client)
        self.client.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        authority = create_authority("asya-operator", timedelta(days=1))
        serving = issue(authority, ["127.0.0.1"], timedelta(days=1))
        (self.directory / "tls.crt").write_bytes(serving.certificate)
        (self.directory / "tls.key").write_bytes(serving.key)
        self.trust(authority.certificate)

    def trust(self, ca: bytes) -> None:
        """Set the CA that the API server trusts, as PEM."""
        self.ca_bundle = base64.b64encode(ca).decode()
        self.configure_webhooks()

    def configure_webhooks(self) -> None:
        """Apply the webhook configurations."""
        client_config = {"url": f"https://127.0.0.1:{self.port}", "caBundle": self.ca_bundle}
        for configuration in configurations(
            client_config, excluded_namespaces=[NAMESPACE], match_conditions=self.client.version() >= (1, 30)
        ):
            self.client.apply(WEBHOOKS[configuration["kind"]], configuration, manager="chart")

    @contextmanager
    def without_validation(self) -> Iterator[None]:
        """Store AsyncActors without validation while the block runs."""
        resource = WEBHOOKS["ValidatingWebhookConfiguration"]
        self.client.delete(resource, "", "asya-operator")
        wait_for("the configuration to go", lambda: self.client.get(resource, "", "asya-operator") is None)
        time.sleep(WEBHOOK_CONFIGURATION_SECONDS)
        try:
            yield
        finally:
            self.configure_webhooks()

    def start_webhook(self) -> None:
        """Start the webhook and wait until it is ready."""
        options = {
            "--certificate": self.directory / "tls.crt",
            "--key": self.directory / "tls.key",
            "--bind": f"127.0.0.1:{self.port}",
            "--kubeconfig": self.kubeconfig,
            "--metrics-port": self.metrics_port,
        }
        arguments = [str(part) for pair in options.items() for part in pair]
        self.webhook = Process(
            [*self.command, "webhook", *arguments], self.directory / "webhook.log", self.environment
        ).start()
        pool = urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False)
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

        def ready() -> bool:
            assert self.webhook is not None
            assert self.webhook.running, "the webhook ended"
            try:
                return bool(pool.request("GET", f"https://127.0.0.1:{self.port}/readyz", retries=False).status == 200)
            except urllib3.exceptions.HTTPError:
                return False

        try:
            wait_for("the webhook", ready, 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.webhook.tail()}") from None

    def stop_webhook(self, number: int = signal.SIGTERM) -> None:
        """Stop the webhook."""
        if self.webhook is not None:
            self.webhook.stop(number)

    @contextmanager
    def edited_script(self) -> Iterator[str]:
        """The script may change while the block runs. Afterwards it is restored everywhere. Yields its text."""
        good = self.script.read_text()
        try:
            yield good
        finally:
            self.script.write_text(good)
            wait_for("the script to be as it was", partial(self._has_script, good))

    @contextmanager
    def released_script(self, server: GitHub) -> Iterator[None]:
        """The controller loads its script from a release while the block runs, and afterwards from the file again."""
        environment = {
            "ASYA_RUNTIME_SOURCE": "github",
            "ASYA_RUNTIME_GITHUB_REPO": "owner/name",
            "ASYA_RUNTIME_GITHUB_URL": server.url,
            "ASYA_RUNTIME_VERSION": "v1",
            "ASYA_RUNTIME_SHA256": "",
            "SSL_CERT_FILE": str(server.certificate_file),
            "NO_PROXY": "localhost",
        }
        self.environment |= environment
        try:
            self.restart_controller()
            yield
        finally:
            for name in environment:
                del self.environment[name]
            self.restart_controller()
            wait_for("the script to be as it was", partial(self._has_script, self.script.read_text()))

    def _has_script(self, script: str) -> bool:
        obj = self.client.get(CONFIG_MAPS, NAMESPACE, "asya-runtime")
        return obj is not None and obj["data"]["asya_runtime.py"] == script

    def webhook_metrics(self) -> str:
        """The metrics of all its workers."""
        answer = urllib3.request("GET", f"http://127.0.0.1:{self.metrics_port}/metrics", retries=False, timeout=2)
        return str(answer.data.decode())

    def start_controller(self, *, wait: bool = True, kubeconfig: Path | None = None) -> Controller:
        """Start one more controller. With ``wait``, wait until it leads."""
        port = free_port()
        options = {
            "--kubeconfig": kubeconfig or self.kubeconfig,
            "--namespace": NAMESPACE,
            "--metrics-port": port,
        }
        arguments = [str(part) for pair in options.items() for part in pair]
        environment = {"ASYA_RUNTIME_LOCAL_PATH": str(self.script), **self.environment}
        process = Process([*self.command, "controller", *arguments], self.directory / "controller.log", environment)
        controller = Controller(process.start(), port)
        self.controllers.append(controller)
        if wait:
            try:
                wait_for("the controller to lead", lambda: leads(controller), 40)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{process.tail()}") from None
        return controller

    def stop_controllers(self, number: int = signal.SIGTERM) -> None:
        """Stop all controllers."""
        for controller in self.controllers:
            controller.process.stop(number)
        self.controllers.clear()

    def restart_controller(self) -> Controller:
        """Stop all controllers, and start one with the present environment."""
        self.stop_controllers()
        return self.start_controller()

    def start(self) -> None:
        """Install and start everything."""
        self.install()
        self.start_webhook()
        self.start_controller()

    def heal(self) -> None:
        """Start the processes that a test has stopped."""
        if self.webhook is None or not self.webhook.running:
            self.start_webhook()
        if not any(c.process.running for c in self.controllers):
            self.controllers.clear()
            self.start_controller()

    def stop(self) -> None:
        """Stop everything, and delete the webhook configurations."""
        self.stop_controllers()
        self.stop_webhook()
        for resource in WEBHOOKS.values():
            try:
                self.client.delete(resource, "", "asya-operator")
            except ApiError:
                continue  # the cluster is stopping too


@contextmanager
def alone(start: Callable[[Path], Cluster] = start_sandbox) -> Iterator[Operator]:
    """An operator on a cluster of its own, neither installed nor started. Both are removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="asya-") as name:
        cluster = start(Path(name) / "cluster")
        operator = Operator(cluster, Path(name) / "operator")
        try:
            with played(cluster):
                yield operator
        finally:
            operator.stop()
            cluster.stop()


def leads(controller: Controller) -> bool:
    """Whether that controller reports that it leads."""
    assert controller.process.running, "the controller ended"
    return "asya_controller_leader 1.0" in controller.get("/metrics")
