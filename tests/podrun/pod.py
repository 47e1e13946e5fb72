"""A pod as processes: volumes, environments and restarts by the rules of a kubelet."""

import base64
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kube.client import CONFIG_MAPS, SECRETS, Client, Object, Resource

REFERENCE = re.compile(r"\$(?:\$|\(([^)]+)\))")
RESTART_SECONDS = 0.1


class CreateContainerConfigError(Exception):
    """What a container refers to is not there; a kubelet says the same by the same name."""


@dataclass(frozen=True)
class Image:
    """What an image brings: the command of containers that have none, and environment."""

    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def expand(text: str, known: Mapping[str, str]) -> str:
    """``text`` with each ``$(NAME)`` of a known name replaced, and ``$$`` as ``$``.

    https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else known.get(name, match.group(0))

    return REFERENCE.sub(value, text)


class Pod:
    """The processes of one pod, restarted when they end until the pod is stopped."""

    def __init__(self, pod: Object, client: Client, directory: Path, images: Mapping[str, Image]) -> None:
        self.spec, self.metadata = pod["spec"], pod["metadata"]
        self._client, self._directory, self._images = client, directory, images
        self._stopping = threading.Event()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._threads: list[threading.Thread] = []
        self.restarts: dict[str, int] = {}

    def start(self) -> None:
        """Make the volumes and start the containers, native sidecars first.

        Raises:
            CreateContainerConfigError: if a Secret, a ConfigMap or a key in one is missing.
        """
        self._directory.mkdir(parents=True)
        volumes = {volume["name"]: self._volume(volume) for volume in self.spec.get("volumes") or ()}
        native = [c for c in self.spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
        for container in [*native, *self.spec["containers"]]:
            self._run(container, volumes)

    def signal(self, container: str, number: int) -> None:
        """Send a container's first process a signal."""
        self._processes[container].send_signal(number)

    def stop(self) -> None:
        """SIGTERM to all; SIGKILL to what is left when the pod's grace period is over."""
        self._stopping.set()
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self.spec.get("terminationGracePeriodSeconds", 30)
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        for thread in self._threads:
            thread.join()

    def log(self, container: str) -> str:
        """What it has printed."""
        return (self._directory / f"{container}.log").read_text(errors="replace")

    # -- volumes and environment -----------------------------------------------------------------

    def _volume(self, volume: Object) -> Path:
        path = self._directory / str(volume["name"])
        path.mkdir()
        if "configMap" in volume:
            source = volume["configMap"]
            for key, text in self._data(CONFIG_MAPS, source["name"]).items():
                (path / key).write_text(text)
                (path / key).chmod(source.get("defaultMode", 0o644))
        elif "emptyDir" not in volume and "projected" not in volume:
            raise CreateContainerConfigError(f"volumes[{volume['name']}]: neither emptyDir nor configMap")
        return path

    def _data(self, resource: Resource, name: str) -> Mapping[str, str]:
        found = self._client.get(resource, self.metadata["namespace"], name)
        if found is None:
            raise CreateContainerConfigError(f'{resource.kind.lower()} "{name}" not found')
        data: Mapping[str, str] = found.get("data") or {}
        return data

    def environment(self, container: Object) -> dict[str, str]:
        """The container's variables, in order, references resolved.

        Raises:
            CreateContainerConfigError: if one refers to what is not there.
        """
        env: dict[str, str] = {}
        for variable in container.get("env") or ():
            if "valueFrom" in variable:
                env[variable["name"]] = self._value_from(variable["valueFrom"])
            else:
                env[variable["name"]] = expand(variable.get("value", ""), env)
        return env

    def _value_from(self, source: Object) -> str:
        if "fieldRef" in source:
            return str(self.metadata[source["fieldRef"]["fieldPath"].removeprefix("metadata.")])
        secret = source.get("secretKeyRef")
        reference = secret or source["configMapKeyRef"]
        data = self._data(SECRETS if secret else CONFIG_MAPS, reference["name"])
        if reference["key"] not in data:
            raise CreateContainerConfigError(f"couldn't find key {reference['key']} in {reference['name']}")
        text = data[reference["key"]]
        return base64.b64decode(text).decode() if secret else text

    # -- processes -------------------------------------------------------------------------------

    def _run(self, container: Object, volumes: Mapping[str, Path]) -> None:
        image = self._images[container["image"]]
        places = {
            mount["mountPath"].rstrip("/"): str(volumes[mount["name"]] / mount.get("subPath", ""))
            for mount in container.get("volumeMounts") or ()
            if mount["name"] in volumes
        }
        env = {**image.environment, **self.environment(container)}
        command = [expand(part, env) for part in [*container.get("command", image.command), *container.get("args", ())]]
        env = {name: _mapped(value, places) for name, value in env.items()}
        command = [_mapped(part, places) for part in command]
        command[0] = shutil.which(command[0], path=env.get("PATH", os.defpath)) or command[0]
        name = container["name"]
        log = self._directory / f"{name}.log"
        self._processes[name] = self._spawn(command, env, log)
        self.restarts[name] = 0
        thread = threading.Thread(target=self._keep, args=(name, command, env, log), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _spawn(self, command: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self._directory
            )

    def _keep(self, name: str, command: list[str], env: dict[str, str], log: Path) -> None:
        while True:
            self._processes[name].wait()
            if self._stopping.wait(RESTART_SECONDS):
                return
            self.restarts[name] += 1
            self._processes[name] = self._spawn(command, env, log)


def _mapped(text: str, places: Mapping[str, str]) -> str:
    """``text`` with the path of the innermost mount that it begins with replaced."""
    for mount in sorted(places, key=len, reverse=True):
        if text == mount or text.startswith(mount + "/"):
            return places[mount] + text[len(mount) :]
    return text
