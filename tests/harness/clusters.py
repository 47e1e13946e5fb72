"""Clusters for tests: the sandbox, and a real control plane if its binaries are available.

Both are separate processes on loopback with an administrator's kubeconfig. The real one is etcd, kube-apiserver and
kube-controller-manager in the places of envtest: ``KUBEBUILDER_ASSETS`` or ``/usr/local/kubebuilder/bin``. There is no
kubelet, so its pods stay pending.
"""

import base64
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar

import trustme
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kube.client import Client
from kube.credentials import load_configuration
from kube.failures import ApiError
from release.binaries import ASSETS as ASSETS
from release.binaries import ROOT as ROOT

READY_SECONDS = 60
PATIENCE = 120
"""Seconds to wait for slow events.

kube-controller-manager collects no garbage for up to a minute after a resource definition was added or removed.
"""
AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:asya-system"]
- level: None
"""
"""Audit policy that records the requests of the operator's own ServiceAccounts."""
T = TypeVar("T")


_given: set[int] = set()


def free_port() -> int:
    """A free port of 127.0.0.1. Linux never uses it as the local port of an outgoing connection."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)  # below the ports of outgoing connections
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


def why_not_real() -> str:
    """Why there is no real control plane. Empty if there is one."""
    missing = [name for name in ("kube-apiserver", "etcd") if not os.access(ASSETS / name, os.X_OK)]
    return f"no {' and no '.join(missing)} in {ASSETS}" if missing else ""


@cache
def real_version() -> tuple[int, int]:
    """Major and minor version of the available kube-apiserver. Without one, a version above all others."""
    if why_not_real():
        return (999, 0)
    printed = subprocess.run([str(ASSETS / "kube-apiserver"), "--version"], capture_output=True, text=True, check=True)
    major, minor = re.findall(r"v(\d+)\.(\d+)", printed.stdout)[0]
    return int(major), int(minor)


@dataclass
class Process:
    """A child process whose output goes to a file."""

    command: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    _child: subprocess.Popen[bytes] | None = None

    def start(self) -> "Process":
        """Start the process."""
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                self.command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                cwd=ROOT,
                start_new_session=True,
            )
        return self

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._child is not None, "the process was not started"
        return self._child.pid

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM, timeout: float = 20) -> int:
        """Send it a signal and wait for its end. Return its exit code."""
        if self._child is None:
            return 0
        if self._child.poll() is None:
            # Kill the whole session, so that gunicorn's workers end too.
            os.killpg(self._child.pid, number) if number == signal.SIGKILL else self._child.send_signal(number)
        try:
            code = self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, signal.SIGKILL)
            code = self._child.wait()
        self._child = None
        return code

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""


def wait_for(what: str, probe: Callable[[], T], timeout: float = PATIENCE, pause: float = 0.05) -> T:
    """The first true result of ``probe``. Assertion errors and API errors in ``probe`` count as not yet true."""
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            result = probe()
            if result:
                return result
            last = result
        except (AssertionError, ApiError, KeyError, IndexError, TypeError) as error:
            last = repr(error)
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout:g} s; last: {last}")
        time.sleep(pause)


@dataclass
class Cluster:
    """A running cluster."""

    name: str
    directory: Path
    kubeconfig: Path
    processes: list[Process]

    @property
    def real(self) -> bool:
        """Whether this is a real kube-apiserver."""
        return self.name != "sandbox"

    def client(self) -> Client:
        """A client with the administrator's rights."""
        return Client(load_configuration(str(self.kubeconfig)))

    def stop(self) -> None:
        """Stop all its processes in reverse order."""
        for process in reversed(self.processes):
            process.stop(signal.SIGKILL)


def _kubeconfig(path: Path, server: str, ca: bytes, token: str) -> None:
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.write_text(yaml.safe_dump(config))


def start(directory: Path, *, real: bool) -> Cluster:
    """Start a cluster of either tier."""
    return start_real(directory) if real else start_sandbox(directory)


def start_sandbox(directory: Path) -> Cluster:
    """Start the sandbox."""
    directory.mkdir(parents=True, exist_ok=True)
    kubeconfig = directory / "kubeconfig"
    command = [sys.executable, "-m", "sandbox", "--kubeconfig", str(kubeconfig)]
    process = Process(command, directory / "sandbox.log").start()
    _wait_until_up("the sandbox", process, kubeconfig.exists)
    return Cluster("sandbox", directory, kubeconfig, [process])


def start_real(directory: Path, *, controller_manager: bool = True, api_flags: Sequence[str] = ()) -> Cluster:
    """Start etcd, kube-apiserver with ``api_flags``, and kube-controller-manager if it is available and requested."""
    directory.mkdir(parents=True, exist_ok=True)
    etcd, etcd_url = _start_etcd(directory)
    port = free_port()
    authority = trustme.CA()
    serving = authority.issue_cert("127.0.0.1", "localhost")
    serving.private_key_and_cert_chain_pem.write_to_path(str(directory / "serving.pem"))
    _service_account_keys(directory)
    (directory / "tokens.csv").write_text('admin-token,admin,admin,"system:masters"\n')
    (directory / "audit.yaml").write_text(AUDIT)
    server = f"https://127.0.0.1:{port}"
    kubeconfig = directory / "kubeconfig"
    _kubeconfig(kubeconfig, server, authority.cert_pem.bytes(), "admin-token")
    api = Process(
        [
            str(ASSETS / "kube-apiserver"),
            f"--etcd-servers={etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={directory}",
            f"--tls-cert-file={directory / 'serving.pem'}",
            f"--tls-private-key-file={directory / 'serving.pem'}",
            f"--token-auth-file={directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={directory / 'sa.pub'}",
            f"--service-account-signing-key-file={directory / 'sa.key'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            f"--audit-policy-file={directory / 'audit.yaml'}",
            f"--audit-log-path={directory / 'audit.log'}",
            "--audit-log-mode=blocking",
            "--max-requests-inflight=2000",
            "--max-mutating-requests-inflight=1000",
            *api_flags,
        ],
        directory / "kube-apiserver.log",
    ).start()
    client = Client(load_configuration(str(kubeconfig)))
    _wait_until_up("kube-apiserver", api, lambda: _ready(client))
    processes = [etcd, api]
    if controller_manager and os.access(ASSETS / "kube-controller-manager", os.X_OK):
        processes.append(_start_controller_manager(directory, kubeconfig))
    return Cluster("kube-apiserver", directory, kubeconfig, processes)


def _start_etcd(directory: Path) -> tuple[Process, str]:
    """Start etcd. Return its URL."""
    port, peer_port = free_port(), free_port()
    command = [
        str(ASSETS / "etcd"),
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{port}",
        f"--advertise-client-urls=http://127.0.0.1:{port}",
        f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        "--unsafe-no-fsync",
    ]
    return Process(command, directory / "etcd.log").start(), f"http://127.0.0.1:{port}"


def _start_controller_manager(directory: Path, kubeconfig: Path) -> Process:
    command = [
        str(ASSETS / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        f"--service-account-private-key-file={directory / 'sa.key'}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_port()}",
        f"--cert-dir={directory}",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--concurrent-gc-syncs=20",
    ]
    return Process(command, directory / "kube-controller-manager.log").start()


def _service_account_keys(directory: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (directory / "sa.key").write_bytes(pem)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (directory / "sa.pub").write_bytes(public)


def _ready(client: Client) -> bool:
    try:
        client.request("GET", "/api/v1/namespaces/default")
    except ApiError:
        return False
    return True


def _wait_until_up(name: str, process: Process, probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not probe():
        if not process.running or time.monotonic() > deadline:
            raise AssertionError(f"{name} did not start:\n{process.tail()}")
        time.sleep(0.05)
