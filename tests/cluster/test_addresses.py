"""Both processes on a node with IPv6 alone or with both families. A network namespace simulates the node."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from telemetry.addresses import bracketed, every_address
from telemetry.server import serve
from tests.harness.clusters import ROOT, free_port, wait_for

ASK = """
import ssl, sys, time, urllib.request
import yaml
from crds.manifest import rendered
from kube.client import Client
from kube.resources import Resource
from kube.credentials import load_configuration

crds = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")
Client(load_configuration(sys.argv[1])).apply(crds, yaml.safe_load(rendered()), manager="kubectl")
missing = ["https://[::1]:8443/readyz", "http://[::1]:8080/healthz", "http://[::1]:8081/readyz"]
deadline = time.monotonic() + 40
while missing and time.monotonic() < deadline:
    try:
        context = ssl._create_unverified_context() if missing[0].startswith("https") else None
        urllib.request.urlopen(missing[0], timeout=2, context=context).read()
        missing.pop(0)
    except OSError as error:
        why = error
        time.sleep(0.2)
sys.exit(f"{missing}: {why}" if missing else 0)
"""


@pytest.fixture
def node() -> Iterator[str]:
    """A network namespace whose loopback has ::1 and no IPv4 address."""
    ip = shutil.which("ip", path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
    name = f"asya-{os.getpid()}"
    if ip is None or os.getuid() or subprocess.run([ip, "netns", "add", name], capture_output=True).returncode:
        pytest.skip("no network namespace can be made: it takes root, and ip of iproute2")
    try:
        for command in (["link", "set", "lo", "up"], ["addr", "del", "127.0.0.1/8", "dev", "lo"]):
            subprocess.run([ip, "-n", name, *command], check=True)
        if not subprocess.run([ip, "-n", name, "-6", "addr", "show", "lo"], capture_output=True, text=True).stdout:
            pytest.skip("this kernel has no IPv6")
        yield name
    finally:
        subprocess.run([ip, "netns", "delete", name], check=False)


def test_both_processes_answer_with_ipv6_alone(node: str, tmp_path: Path) -> None:
    inside = ["ip", "netns", "exec", node, sys.executable]
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/sbin:/usr/sbin", "PYTHONPATH": str(ROOT)}
    kubeconfig, started = tmp_path / "kubeconfig", list[subprocess.Popen[bytes]]()
    subprocess.run([sys.executable, "-m", "cli", "certs", "issue", str(tmp_path), "--name", "::1"], check=True)
    certificate = ["--certificate", str(tmp_path / "tls.crt"), "--key", str(tmp_path / "tls.key")]
    log = (tmp_path / "log").open("w")

    def start(*arguments: str) -> None:
        started.append(subprocess.Popen([*inside, *arguments], env=environment, stdout=log, stderr=log, cwd=ROOT))

    try:
        start("-m", "sandbox", "--address", "::1", "--kubeconfig", str(kubeconfig))
        wait_for("the sandbox", kubeconfig.exists, 20)
        start("-m", "cli", "webhook", *certificate, "--workers", "1", "--kubeconfig", str(kubeconfig))
        start("-m", "cli", "controller", "--metrics-port", "8081", "--kubeconfig", str(kubeconfig))
        command = [*inside, "-c", ASK, str(kubeconfig)]
        completed = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=60)
        assert completed.returncode == 0, completed.stderr + (tmp_path / "log").read_text()
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(20)
        log.close()


def test_one_socket_accepts_both_families() -> None:
    if every_address() != "::":
        pytest.skip("this kernel has no IPv6")
    import urllib.request

    port = free_port()
    server = serve(every_address(), port, CollectorRegistry(), {"/healthz": lambda: ""})
    try:
        for host in ("127.0.0.1", "::1"):
            assert urllib.request.urlopen(f"http://{bracketed(host)}:{port}/healthz", timeout=5).read() == b"ok\n"
    finally:
        server.shutdown()


def test_a_kernel_without_ipv6_gets_an_ipv4_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.has_dualstack_ipv6", lambda: False)
    assert every_address() == "0.0.0.0"
    assert f"{bracketed(every_address())}:1" == "0.0.0.0:1"
