"""Runs the quick start for data scientists, command by command, until the message is answered.

The test machine has no container engine. So the pod's containers are processes (``tests/podrun``), and
``tests/docs/engine.py`` stands in for ``docker`` and ``rabbitmqadmin``. The test starts a pod when a message waits, as
KEDA does.
"""

import json
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from kube.objects import Object
from release.binaries import binary
from tests.docs import engine
from tests.docs.transcript import Step, files_of, follow, part, steps_of, text_of
from tests.e2e.desk import IMAGE, node
from tests.e2e.rig import REPOSITORY, TAGS, TIER
from tests.harness.brokers import RabbitMQ, sidecar_command, sidecar_environment, why_no_rabbitmq, why_no_sqs
from tests.harness.clusters import ROOT, Cluster
from tests.harness.operator import Operator
from tests.harness.script import Script
from tests.harness.space import Space
from tests.podrun.pod import Image, Pod

PAGE = "docs/quickstart-actor.md"
ACTOR = "text-processor"
MORE = (
    ("docs/messages.md", "send and peek"),
    ("docs/diagnose.md", "explain"),
    ("docs/failed-messages.md", "failed messages"),
    ("docs/operate-actors.md", "pause and resume"),
    ("docs/change-function.md", "new version"),
    ("docs/change-function.md", "new pods"),
)
"""Parts of other pages that need the actor of the quick start."""
RESOLVER = '''
"""Stands for the cluster's DNS and the broker's Service."""
import socket

find = socket.getaddrinfo

def getaddrinfo(host, port, *args, **kwargs):
    if host == "rabbitmq.messaging":
        host, port = "127.0.0.1", {port}
    return find(host, port, *args, **kwargs)

socket.getaddrinfo = getaddrinfo
'''
TOOLS = {
    "docker": 'exec "{python}" -m tests.docs.engine docker "$@"',
    "kubectl": """case " $* " in
  *" exec deployment/rabbitmq "*) while [ "$1" != rabbitmqadmin ]; do shift; done
    shift; exec "{python}" -m tests.docs.engine rabbitmqadmin "$@" ;;
esac
exec "{kubectl}" "$@\"""",
}


class Desk:
    """A reader's machine, with a cluster and a broker."""

    def __init__(self, cluster: Cluster, broker: RabbitMQ, directory: Path) -> None:
        self.cluster, self.broker, self.directory = cluster, broker, directory
        self.space = Space(cluster.client(), "default")
        self.store = directory / "images"
        self.pods: dict[str, Pod] = {}
        resolver = directory / "resolver"
        for folder in (self.store, resolver, directory / "tools", directory / "home"):
            folder.mkdir(parents=True)
        (resolver / "sitecustomize.py").write_text(RESOLVER.format(port=broker.port))
        self.path = os.pathsep.join([str(resolver), str(ROOT)])
        for name, text in TOOLS.items():
            tool = directory / "tools" / name
            tool.write_text("#!/bin/sh\n" + text.format(python=sys.executable, kubectl=binary("kubectl")) + "\n")
            tool.chmod(0o755)

    def environment(self) -> dict[str, str]:
        """The reader's environment variables."""
        path = [str(self.directory / "tools"), str(Path(sys.executable).parent), os.environ["PATH"]]
        return {
            **os.environ,
            "PATH": os.pathsep.join(path),
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "PYTHONPATH": self.path,
            "ASYA_IMAGE": IMAGE,
            engine.IMAGES: str(self.store),
            engine.BROKER: str(self.broker.port),
        }

    def follow(self) -> None:
        """Save the files of the quick start and run its commands. Other pages' commands run before the last part."""
        text = text_of(PAGE)
        home = self.directory / "home"
        for name, content in files_of(text).items():
            (home / name).write_text(content)
        first, title, last = text.partition("## Remove it")
        assert title
        make, *steps = steps_of(first)
        assert make.command == f"mkdir {ACTOR}"
        steps = [Step(f"{make.command}; mv *.* Dockerfile {ACTOR}", ()), *steps]
        for page, name in MORE:
            steps += map(_local, steps_of(part(name, text_of(page))))  # a pod for each would take seconds
        steps += steps_of(last)
        if not self.cluster.real:
            steps = [*map(_local, steps)]  # the sandbox does not run the plugin's pods
        follow(steps, home, self.environment())

    @contextmanager
    def working(self) -> Iterator[None]:
        """Act as KEDA and kubelet on a thread, while the block runs."""
        ended = threading.Event()
        thread = threading.Thread(target=self._work, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            for pod in self.pods.values():
                pod.stop()

    def _work(self, ended: threading.Event) -> None:
        while not ended.wait(0.1):
            deployment = self.space.get("Deployment", ACTOR)
            if deployment and deployment["spec"]["replicas"] == 0 and self.broker.count(f"asya-default-{ACTOR}"):
                self.space.scale("Deployment", ACTOR, 1)
            for pod in self.space.all("Pod"):
                if pod["metadata"].get("labels", {}).get("asya.io/actor") == ACTOR:
                    self._run(pod)

    def _run(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        if name in self.pods:
            return
        python_path = {"PYTHONPATH": self.path}
        images = {f"{REPOSITORY}:{TAGS['http']}": Image(sidecar_command("http"), sidecar_environment() | python_path)}
        for container in pod["spec"]["containers"]:
            if container["name"] == "runtime":
                images[container["image"]] = engine.image(container["image"], self.store, sys.executable, {})
        self.pods[name] = Pod(pod, self.space.client, self.directory / f"pod{len(self.pods)}", images)
        self.pods[name].start()

    def logs(self) -> str:
        """The output of the pods."""
        return "\n".join(pod.logs() for pod in self.pods.values())


def _local(step: Step) -> Step:
    """The same command, but with ``--local``."""
    command = re.sub(r"kubectl asya (?:send|peek|dlq \w+) [\w-]+(?= |$)(?! --local)", r"\g<0> --local", step.command)
    return Step(command, step.output)


@pytest.fixture
def desk(cluster: Cluster, operator: Operator, rabbitmq: RabbitMQ) -> Iterator[Desk]:
    """A desk with a node for the plugin's pods. Nothing may remain in the namespace."""
    rabbitmq.vhost = "/"
    rabbitmq.declare()
    directory = Path(tempfile.mkdtemp(prefix="asya-"))  # the path of a socket must be short
    made = Desk(cluster, rabbitmq, directory)
    try:
        with node(cluster, directory / "jobs", PYTHONPATH=made.path):
            yield made
    finally:
        shutil.rmtree(directory)
        made.space.delete("AsyncActor", ACTOR)
        made.space.delete("Secret", "rabbitmq")
        for name in (ACTOR, "x-sink", "x-sump"):
            rabbitmq.delete(f"asya-default-{name}")


@pytest.mark.skipif(bool(why_no_rabbitmq()), reason=why_no_rabbitmq())
@pytest.mark.skipif(bool(why_no_sqs()), reason=f"the test sidecar runs in its environment: {why_no_sqs()}")
@pytest.mark.parametrize("tier", [TIER], indirect=True)
def test_from_an_empty_folder_to_an_answered_message(desk: Desk) -> None:
    with desk.working():
        try:
            desk.follow()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{desk.logs()}") from None


def test_the_message_of_a_program_gets_the_answer_on_the_page(tmp_path: Path) -> None:
    """The page about messages has a message as a program sends it; the function is that of the quick start."""
    page = text_of("docs/messages.md")
    (block,) = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    message = json.loads(block)
    assert message["route"]["curr"] == ACTOR
    (tmp_path / "processor.py").write_text(files_of(text_of(PAGE))["processor.py"])
    script = Script(tmp_path, "", "processor.Text.process")
    try:
        status, answer = script.post(message["payload"], **{key: message[key] for key in ("id", "route", "headers")})
    finally:
        script.stop()
    assert status == 200
    (frame,) = answer["frames"]
    assert frame["route"] == {"prev": [ACTOR], "curr": "", "next": []}
    assert f"`{json.dumps(frame['payload'])}`" in page


def test_the_trial_broker_has_the_address_in_the_actor() -> None:
    actor = yaml.safe_load((ROOT / "examples/rabbitmq-deployment.yaml").read_text())
    broker = yaml.safe_load_all((ROOT / "examples/minikube/rabbitmq.yaml").read_text())
    service = next(obj for obj in broker if obj["kind"] == "Service")
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    assert actor["spec"]["transport"]["rabbitmq"]["host"] == host
