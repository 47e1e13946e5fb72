"""Reaches the broker from this machine: directly if its address is reachable, else through kubectl port-forward.

The credentials are the actor's, read with the caller's own rights. For SQS the caller's own AWS credentials count.
"""

import base64
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crds.transport import aws_host
from injection.rabbitmq import DIRECTORY
from kube import resources
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import Resource
from messages.actions import run
from messages.broker import Broker, BrokerError
from messages.connection import connect
from messages.pod import SessionError
from messages.rabbitmq import parameters
from messages.requests import Request
from messages.rights import explained
from messages.target import Target

Event = dict[str, Any]
CONNECT_SECONDS = 2.0
FORWARD_SECONDS = 20.0
REFERENCE = re.compile(r"\$(?:\$|\(([^)]+)\))")
FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


class LocalSession:
    """Runs requests about one actor from this machine."""

    def __init__(
        self,
        client: Client,
        target: Target,
        kubeconfig: str | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._client, self._target, self._kubeconfig, self._note = client, target, kubeconfig, note
        self._is_abandoned = False

    def run(self, request: Request) -> Iterator[Event]:
        """The events of ``request``.

        Raises:
            SessionError: if the credentials cannot be read, or kubectl cannot forward a port.
            BrokerError: if the broker cannot be reached, or refuses.
        """
        with self._broker() as broker:
            yield from run(broker, request, lambda: self._is_abandoned)

    def abandon(self) -> None:
        """Make :meth:`run` end soon. Called from another thread when the program ends."""
        self._is_abandoned = True

    @contextmanager
    def _broker(self) -> Iterator[Broker]:
        with ExitStack() as stack:
            env = self._environment(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asya-"))))
            host, port = _address(env)
            address = None
            if not _is_reachable(host, port):
                self._note(f"{host}:{port} is not reachable from here; kubectl forwards a port")
                address = ("127.0.0.1", stack.enter_context(self._forwarded(host, port)))
            broker = connect(env, address)
            try:
                yield broker
            finally:
                broker.close()

    # -- credentials -----------------------------------------------------------------------------

    def _environment(self, directory: Path) -> dict[str, str]:
        """The sidecar's environment with all references resolved; certificates are written to ``directory``."""
        env: dict[str, str] = {}
        for entry in self._target.environment:
            if "valueFrom" in entry:
                value = self._value_from(entry["name"], entry["valueFrom"])
            else:
                value = _expanded(entry.get("value") or "", env)
            if value is not None:
                env[entry["name"]] = value
        for volume in self._target.volumes:
            for source in (volume.get("projected") or {}).get("sources") or ():
                self._write(directory, source)
        env = {name: value.replace(DIRECTORY, str(directory)) for name, value in env.items()}
        if self._target.transport == "sqs":
            env = {**{k: v for k, v in os.environ.items() if k.startswith("AWS_")}, **env}
        return env

    def _value_from(self, name: str, source: Object) -> str | None:
        for kind, resource in (("secretKeyRef", resources.SECRETS), ("configMapKeyRef", resources.CONFIG_MAPS)):
            reference = source.get(kind)
            if reference is not None:
                return self._key(resource, reference["name"], reference["key"])
        return None  # another source, such as the pod's name, which no broker needs

    def _write(self, directory: Path, source: Object) -> None:
        secret = source.get("secret") or {}
        for item in secret.get("items") or ():
            path = directory / item["path"]
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(self._key(resources.SECRETS, secret["name"], item["key"]))

    def _key(self, resource: Resource, name: str, key: str) -> str:
        namespace, kind = self._target.namespace, resource.kind
        try:
            holder = self._client.get(resource, namespace, name)
        except ApiError as error:
            raise SessionError(explained(error, "or omit --local: then a pod reads it")) from None
        data = (holder or {}).get("data") or {}
        if holder is None or key not in data:
            missing = f"the {kind} {name!r}" if holder is None else f"the key {key!r} of the {kind} {name!r}"
            message = f"{missing} does not exist in the namespace {namespace!r}: the actor refers to it, so create it"
            raise SessionError(message)
        return base64.b64decode(data[key]).decode() if resource is resources.SECRETS else str(data[key])

    # -- port-forward ----------------------------------------------------------------------------

    @contextmanager
    def _forwarded(self, host: str, port: int) -> Iterator[int]:
        """A port of this machine that kubectl forwards to a Service."""
        service, namespace = _service(host, self._target.namespace)
        kubectl = shutil.which("kubectl")
        if kubectl is None:
            raise SessionError(
                f"{host}:{port} is not reachable from here, and kubectl is not installed to forward a port"
            )
        command = [kubectl, "port-forward", "--namespace", namespace, f"service/{service}", f":{port}"]
        command += ["--kubeconfig", self._kubeconfig] if self._kubeconfig else []
        with subprocess.Popen(  # nosec B603 - kubectl, and names that are arguments of their own
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as process:
            try:
                yield _forwarded_port(process, f"{host}:{port}")
            finally:
                process.terminate()


def _forwarded_port(process: "subprocess.Popen[str]", address: str) -> int:
    """The local port, from kubectl's output.

    Raises:
        SessionError: if kubectl does not forward a port within FORWARD_SECONDS.
    """
    assert process.stdout is not None, "the process has a pipe"
    deadline, output = time.monotonic() + FORWARD_SECONDS, ""
    while time.monotonic() < deadline:
        if not select.select([process.stdout], [], [], 0.2)[0]:
            continue
        line = process.stdout.readline()
        if not line:
            break
        match = FORWARDING.search(line)
        if match:
            return int(match[1])
        output += line
    reason = " ".join(output.split()) or "kubectl prints nothing"
    raise SessionError(f"{address} is not reachable from here, and its port cannot be forwarded: {reason}")


def _address(env: Mapping[str, str]) -> tuple[str, int]:
    """Host and port of the broker that a sidecar's environment names."""
    if env.get("ASYA_TRANSPORT") == "sqs":
        url = urlsplit(env.get("ASYA_SQS_ENDPOINT") or f"https://{aws_host('sqs', env.get('ASYA_AWS_REGION') or '')}")
        return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    connection = parameters(env)
    return connection.host, connection.port


def _is_reachable(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _service(host: str, namespace: str) -> tuple[str, str]:
    """The name and namespace of the Service that a host name means: ``name``, ``name.namespace`` or a longer form.

    Raises:
        SessionError: if the host is not a Service of the cluster.
    """
    labels = host.split(".")
    if len(labels) == 1:
        return labels[0], namespace
    if len(labels) == 2 or labels[2] == "svc":
        return labels[0], labels[1]
    raise SessionError(f"{host} is not reachable from here, and is not a Service of the cluster; omit --local")


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with each ``$(NAME)`` of a variable in ``variables`` replaced, as the kubelet does."""
    return REFERENCE.sub(lambda m: "$" if m[1] is None else variables.get(m[1], m[0]), text)


__all__ = ["BrokerError", "LocalSession", "SessionError"]
