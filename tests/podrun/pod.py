"""A pod as processes: volumes, environments, ports, and the order of its containers by the rules of a kubelet."""

import base64
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kube.client import Client
from kube.objects import Object
from kube.resources import CONFIG_MAPS, SECRETS, Resource
from tests.harness.clusters import free_port
from tests.podrun.container import Container, Recipe

REFERENCE = re.compile(r"\$(?:\$|\(([^)]+)\))")
PORT_VARIABLES = ("ASYA_METRICS_ADDR", "ASYA_RUNTIME_PORT")
"""Variables that end in a port to listen on. Pods share this host's ports, so each pod gets other ports."""
INIT_SECONDS = 60.0


class CreateContainerConfigError(Exception):
    """A container refers to a missing object. A kubelet uses the same name for this error."""


class InitContainerError(Exception):
    """An init container failed, or a native sidecar did not start."""


@dataclass(frozen=True)
class Image:
    """The image's command for containers without one, and its environment."""

    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    """The working directory. Without it, the pod's own directory."""


def expand(text: str, known: Mapping[str, str]) -> str:
    """``text`` with each ``$(NAME)`` of a known name replaced, and ``$$`` as ``$``.

    https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else known.get(name, match.group(0))

    return REFERENCE.sub(value, text)


class Pod:
    """The processes of one pod. They restart when they end, until the pod is stopped or complete."""

    def __init__(self, pod: Object, client: Client, directory: Path, images: Mapping[str, Image]) -> None:
        self.spec, self.metadata = pod["spec"], pod["metadata"]
        self._client, self._directory, self._images = client, directory, images
        self.ports: dict[int, int] = {}
        """Maps a port of the pod to the port of this host that replaces it."""
        self.containers: dict[str, Container] = {}
        self._native: list[Container] = []
        self._main: list[Container] = []
        self._lock = threading.Lock()

    def start(self) -> None:
        """Make the volumes and start the containers: init containers in order, then all others.

        Raises:
            CreateContainerConfigError: if a Secret, a ConfigMap or a key in one is missing.
            InitContainerError: if an init container fails.
        """
        self._directory.mkdir(parents=True)
        volumes = {volume["name"]: self._volume(volume) for volume in self.spec.get("volumes") or ()}
        for container in self.spec.get("initContainers") or ():
            native = container.get("restartPolicy") == "Always"
            running = self._run(container, volumes, "Always" if native else "Never")
            if native:
                self._native.append(running)
            done = running.started if native else running.ended
            if not done.wait(INIT_SECONDS) or not (native or running.exits[-1] == 0):
                self.stop()
                raise InitContainerError(f"{running.name}: {self.log(running.name)}")
        policy = self.spec.get("restartPolicy", "Always")
        self._main = [self._run(container, volumes, policy) for container in self.spec["containers"]]
        if policy != "Always":
            threading.Thread(target=self._end_when_complete, daemon=True).start()

    @property
    def restarts(self) -> dict[str, int]:
        """How often each container has restarted."""
        return {name: container.restarts for name, container in self.containers.items()}

    @property
    def ready(self) -> bool:
        """Whether all containers are ready."""
        return all(container.ready for container in [*self._native, *self._main])

    @property
    def complete(self) -> bool:
        """Whether the pod has ended."""
        return all(container.ended.is_set() for container in self.containers.values())

    def signal(self, container: str, number: int) -> None:
        """Send a signal to a container's first process."""
        self.containers[container].signal(number)

    def stop(self) -> None:
        """Stop as for a deleted pod. Return when all processes have ended.

        All preStop hooks run at the same time. A container receives SIGTERM when its hook is done. A native sidecar
        waits for the containers that started after it. Processes that remain after the grace period receive SIGKILL.
        """
        with self._lock:
            deadline = time.monotonic() + self.spec.get("terminationGracePeriodSeconds", 30)
            stopping = [
                threading.Thread(target=container.stop, args=(deadline, _after(later)), daemon=True)
                for container, later in self._order()
            ]
            for thread in stopping:
                thread.start()
            for thread in stopping:
                thread.join()

    def log(self, container: str) -> str:
        """The output of a container."""
        return self.containers[container].log.read_text(errors="replace")

    def logs(self) -> str:
        """The end of each container's output, for the message of a failed test."""
        tails = (f"--- {name} {c.exits}\n{self.log(name)[-3000:]}" for name, c in self.containers.items())
        return "\n".join(tails)

    def _order(self) -> Iterator[tuple[Container, list[Container]]]:
        """Each container, and the containers whose end it waits for."""
        for main in self._main:
            yield main, []
        for n, native in enumerate(self._native):
            yield native, [*self._main, *self._native[n + 1 :]]

    def _end_when_complete(self) -> None:
        for container in self._main:
            container.ended.wait()
        self.stop()

    # -- volumes and environment -----------------------------------------------------------------

    def _volume(self, volume: Object) -> Path:
        path = self._directory / str(volume["name"])
        path.mkdir()
        if "configMap" in volume:
            source = volume["configMap"]
            for key, text in self._data(CONFIG_MAPS, source["name"]).items():
                (path / key).write_text(text)
                (path / key).chmod(source.get("defaultMode", 0o644))
        elif "projected" in volume:
            self._project(path, volume["projected"])
        elif "emptyDir" not in volume:
            raise CreateContainerConfigError(f"volumes[{volume['name']}]: neither emptyDir nor configMap")
        return path

    def _project(self, path: Path, projected: Object) -> None:
        """Write the Secrets of a projected volume. It does not write service account tokens."""
        for source in projected["sources"]:
            secret = source.get("secret")
            if secret is None:
                continue
            data = self._data(SECRETS, secret["name"])
            for item in secret.get("items") or [{"key": key, "path": key} for key in data]:
                (path / item["path"]).parent.mkdir(exist_ok=True)
                (path / item["path"]).write_bytes(base64.b64decode(data[item["key"]]))

    def _data(self, resource: Resource, name: str) -> Mapping[str, str]:
        obj = self._client.get(resource, self.metadata["namespace"], name)
        if obj is None:
            raise CreateContainerConfigError(f'{resource.kind.lower()} "{name}" not found')
        data: Mapping[str, str] = obj.get("data") or {}
        return data

    def environment(self, container: Object) -> dict[str, str]:
        """The container's variables in order, with references resolved.

        Raises:
            CreateContainerConfigError: if one refers to a missing object.
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

    def _run(self, container: Object, volumes: Mapping[str, Path], policy: str) -> Container:
        image = self._images[container["image"]]
        places = {
            mount["mountPath"].rstrip("/"): str(volumes[mount["name"]] / mount.get("subPath", ""))
            for mount in container.get("volumeMounts") or ()
            if mount["name"] in volumes
        }
        env = {**image.environment, **self.environment(container)}
        command = [expand(part, env) for part in [*container.get("command", image.command), *container.get("args", ())]]
        env = {name: self._own_port(name, _mapped(value, places)) for name, value in env.items()}
        command = [_mapped(part, places) for part in command]
        command[0] = shutil.which(command[0], path=env.get("PATH", os.defpath)) or command[0]

        def local(text: str) -> str:
            return _mapped(text, places)

        recipe = Recipe(
            container["name"],
            command,
            env,
            container,
            policy,
            self._directory,
            local,
            self.ports,
            image.directory or self._directory,
        )
        running = self.containers[recipe.name] = Container(recipe)
        running.start()
        return running

    def _own_port(self, name: str, value: str) -> str:
        """The value of a variable, with its port replaced by one that no other pod has."""
        if name not in PORT_VARIABLES:
            return value
        host, colon, port = value.rpartition(":")
        if int(port) not in self.ports:
            self.ports[int(port)] = free_port()
        return f"{host}{colon}{self.ports[int(port)]}"


def _after(containers: list[Container]) -> Callable[[float], None]:
    """A function that waits until all ``containers`` have ended, or until a deadline."""

    def wait(deadline: float) -> None:
        for container in containers:
            container.ended.wait(max(0.0, deadline - time.monotonic()))

    return wait


def _mapped(text: str, places: Mapping[str, str]) -> str:
    """``text`` with the path of the innermost mount at its start replaced."""
    for mount in sorted(places, key=len, reverse=True):
        if text == mount or text.startswith(mount + "/"):
            return places[mount] + text[len(mount) :]
    return text
