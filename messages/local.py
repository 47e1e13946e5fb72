"""Reaches the broker from this machine: directly where its address is reachable, else by a port that kubectl forwards.

The actor's credentials are read with the caller's own rights. For SQS they are the caller's own.
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
from kube.resources import Resource
from messages.actions import run
from messages.broker import Broker, BrokerError
from messages.connection import connect
from messages.pod import SessionError
from messages.rabbitmq import parameters
from messages.requests import Request
from messages.rights import explained
from messages.target import Target

Object = dict[str, Any]
Event = dict[str, Any]
CONNECT_SECONDS = 2.0
FORWARD_SECONDS = 20.0
REFERENCE = re.compile(r"\$(?:\$|\(([^)]+)\))")
FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


class LocalSession:
    """Requests about one actor from this machine."""

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
            SessionError: if credentials cannot be read, or no port can be forwarded.
            BrokerError: if the broker refuses.
        """
        with self._broker() as broker:
            yield from run(broker, request, lambda: self._is_abandoned)

    def abandon(self) -> None:
        """Have :meth:`run` end soon, from another thread: the program ends."""
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
        """The sidecar's variables with what they refer to; files of certificates are written to ``directory``."""
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
        return None  # such as the pod's own name, which no broker needs

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
            raise SessionError(explained(error, "or leave --local out: a pod then reads it")) from None
        data = (holder or {}).get("data") or {}
        if holder is None or key not in data:
            what = f"the {kind} {name!r}" if holder is None else f"the key {key!r} of the {kind} {name!r}"
            raise SessionError(f"{what} is not there in the namespace {namespace!r}: the actor names it, so create it")
        return base64.b64decode(data[key]).decode() if resource is resources.SECRETS else str(data[key])

    # -- a way there -----------------------------------------------------------------------------

    @contextmanager
    def _forwarded(self, host: str, port: int) -> Iterator[int]:
        """A port of this machine that kubectl forwards to a Service."""
        service, namespace = _service(host, self._target.namespace)
        kubectl = shutil.which("kubectl")
        if kubectl is None:
            raise SessionError(f"{host}:{port} is not reachable from here, and there is no kubectl to forward a port")
        command = [kubectl, "port-forward", "--namespace", namespace, f"service/{service}", f":{port}"]
        command += ["--kubeconfig", self._kubeconfig] if self._kubeconfig else []
        with subprocess.Popen(  # nosec B603 - kubectl, and names that are arguments of their own
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as process:
            try:
                yield _forwarded_port(process, f"{host}:{port}")
            finally:
                process.terminate()


def _forwarded_port(process: "subprocess.Popen[str]", what: str) -> int:
    assert process.stdout is not None, "it was started with a pipe"
    deadline, said = time.monotonic() + FORWARD_SECONDS, ""
    while time.monotonic() < deadline:
        if not select.select([process.stdout], [], [], 0.2)[0]:
            continue
        line = process.stdout.readline()
        if not line:
            break
        match = FORWARDING.search(line)
        if match:
            return int(match[1])
        said += line
    reason = " ".join(said.split()) or "kubectl says nothing"
    raise SessionError(f"{what} is not reachable from here, and its port cannot be forwarded: {reason}")


def _address(env: Mapping[str, str]) -> tuple[str, int]:
    """Host and port of the broker."""
    if env.get("ASYA_TRANSPORT") == "sqs":
        url = urlsplit(env.get("ASYA_SQS_ENDPOINT") or f"https://{aws_host('sqs', env.get('ASYA_AWS_REGION') or '')}")
        return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    made = parameters(env)
    return made.host, made.port


def _is_reachable(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _service(host: str, namespace: str) -> tuple[str, str]:
    """The Service and its namespace that a host in a cluster is: ``name``, ``name.namespace`` or a longer form.

    Raises:
        SessionError: if it is none.
    """
    labels = host.split(".")
    if len(labels) == 1:
        return labels[0], namespace
    if len(labels) == 2 or labels[2] == "svc":
        return labels[0], labels[1]
    raise SessionError(f"{host} is not reachable from here, and is no Service of the cluster; leave --local out")


def _expanded(text: str, known: Mapping[str, str]) -> str:
    """``text`` with each ``$(NAME)`` of a known name replaced, as the kubelet does it."""
    return REFERENCE.sub(lambda m: "$" if m[1] is None else known.get(m[1], m[0]), text)


__all__ = ["BrokerError", "LocalSession", "SessionError"]
