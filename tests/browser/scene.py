"""The actors that the dashboard shows in tests and in the manual's pictures, on a sandbox with the operator.

The sandbox runs no containers, so it has no logs and no metrics of pods. A proxy in front of it answers for the pods.
"""

import math
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cli import dashboard as command
from dashboard.board import AUTOSCALERS
from dashboard.ports import Letter, Refused
from dashboard.server import Dashboard, Options
from kube.client import Client
from kube.credentials import load_configuration
from kube.objects import Object
from tests.cases.troubles import TROUBLES, report, running_pod
from tests.chaos.proxy import Proxy
from tests.harness.clusters import Cluster, wait_for
from tests.harness.space import Space, actor, example

MARK = "mArKeD-s3cr3t"
"""A mark in every field that may contain a secret. The dashboard must never send it."""
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
ROUTES = {
    "intake": {"language": 42.0, "thumbnails": 6.5},
    "language": {"summarizer": 30.0, "translator": 12.0},
    "translator": {"summarizer": 12.0},
    "summarizer": {"publisher": 41.5, "x-sump": 0.25},
    "thumbnails": {"publisher": 6.5},
    "publisher": {"x-sink": 47.0, "intake": 0.0},
}
"""Messages per second from actor to actor, or to a queue without an actor."""
_LOG = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/:]+)/log\?.*container=(\w+)")
_METRICS = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/:]+):9095/proxy/metrics")


@dataclass
class Pods:
    """Answers for pods, as kubelets and sidecars give them."""

    started: float = field(default_factory=time.time)
    denied: bool = False
    """Whether the caller lacks the right to reach pods."""
    peaceful: bool = False
    """Whether logs have neither secrets nor markup, for pictures."""

    def answer(self, path: str) -> tuple[int, bytes] | None:
        """The answer for a path. None if the path is not about a pod."""
        if match := _LOG.match(path):
            return (403, _status("Forbidden")) if self.denied else (200, self._log(match[2], match[3]).encode())
        if match := _METRICS.match(path):
            if self.denied:
                return 403, _status("Forbidden")
            return 200, self._metrics(match[1], match[2])
        return None

    def _log(self, pod: str, container: str) -> str:
        first = datetime.now(UTC) - timedelta(seconds=40)
        hostile = [
            f"connected to amqp://asya:{MARK}@rabbitmq:5672/",
            f"DB_PASSWORD={MARK} is set",
            *([f"plain words around {MARK}-plain and the end"] if pod.startswith("broken") else []),
            HOSTILE,
        ]
        texts = [
            f"{container} of {pod} is ready",
            *([] if self.peaceful else hostile),
            "\x1b[31mWARNING\x1b[0m the model answered after 2.4 s",
            "message 3f2a handled in 118 ms",
        ]
        times = [(first + timedelta(seconds=4 * n)).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for n in range(len(texts))]
        return "\n".join(f"{at} {text}" for at, text in zip(times, texts, strict=True)) + "\n"

    def _metrics(self, namespace: str, pod: str) -> bytes:
        name = pod.rsplit("-", 2)[0]
        seconds = time.time() - self.started + 600
        targets = {(t if t.startswith("x-") else f"asya-{namespace}-{t}"): r for t, r in ROUTES.get(name, {}).items()}
        received = sum(targets.values()) * seconds
        lines = ["# TYPE asya_actor_messages_sent_total counter"]
        for queue, rate in targets.items():
            total = rate * seconds if rate else 3
            lines.append(
                f'asya_actor_messages_sent_total{{destination_queue="{queue}",message_type="routing"}} {total}'
            )
        lines += [
            "# TYPE asya_actor_messages_received_total counter",
            f'asya_actor_messages_received_total{{queue="asya-{namespace}-{name}",transport="rabbitmq"}} {received}',
            "# TYPE asya_actor_active_messages gauge",
            "asya_actor_active_messages 1",
            "# TYPE asya_actor_processing_duration_seconds histogram",
            f'asya_actor_processing_duration_seconds_sum{{queue="q"}} {received * 0.118}',
            f'asya_actor_processing_duration_seconds_count{{queue="q"}} {received}',
        ]
        return "\n".join([*lines, ""]).encode()


def _status(message: str) -> bytes:
    return b'{"kind":"Status","reason":"Forbidden","message":"%s"}' % message.encode()


class FakeLetters:
    """Dead letters in memory."""

    def __init__(self) -> None:
        self.replayed: list[str] = []
        self.refuses = ""

    def list(self, namespace: str, actor: str) -> Sequence[Letter]:
        """Three dead letters, without the replayed ones."""
        if self.refuses:
            raise Refused(self.refuses)
        payload = f'{{"id": "m-2", "payload": {{"text": {HOSTILE!r}, "password": "{MARK}"}}}}'
        letters = [
            Letter("m-1", "x-sump", "ValueError: the text is empty", '{"id": "m-1", "payload": {"text": ""}}'),
            Letter("m-2", "x-sump", HOSTILE, payload),
            Letter("m-3", "x-sump", "TimeoutError", '{"id": "m-3", "payload": {"text": "a long story"}}'),
        ]
        return [letter for letter in letters if letter.id not in self.replayed]

    def lengths(self, namespace: str, actor: str) -> dict[str, int | None]:
        """Some lengths, and a queue that does not exist."""
        return {f"asya-{namespace}-{actor}": 4711, f"asya-{namespace}-x-sump": None}

    def close(self) -> None:
        """Do nothing: there is nothing to stop."""

    def replay(self, namespace: str, actor: str, ids: Sequence[str] | None) -> str:
        """Mark them as replayed."""
        chosen = [letter.id for letter in self.list(namespace, actor)] if ids is None else ids
        self.replayed += chosen
        return f"{len(chosen)} replayed to {actor}"


@dataclass
class Scene:
    """A running dashboard."""

    dashboard: Dashboard
    pods: Pods
    letters: FakeLetters
    proxy: Proxy
    space: Space

    @property
    def url(self) -> str:
        """The address of the dashboard."""
        return self.dashboard.url


@contextmanager
def serving(cluster: Cluster, directory: Path, space: Space, *, everywhere: bool = False) -> Iterator[Scene]:
    """Serve a dashboard of a namespace, or of all. A proxy answers for pods."""
    proxy, pods, letters = Proxy(cluster.kubeconfig, directory), Pods(), FakeLetters()
    proxy.instead = pods.answer

    def client() -> Client:
        return Client(load_configuration(str(proxy.kubeconfig)))

    ports = replace(command.ports(client()), letters=letters)
    made = Dashboard(client, ports, Options("" if everywhere else space.name, 0, "sandbox"))
    made.start()
    threading.Thread(target=made.serve, daemon=True).start()
    try:
        yield Scene(made, pods, letters, proxy, space)
    finally:
        made.close()
        proxy.close()


def populate(space: Space) -> None:
    """Create actors that send to each other, that are at rest, paused, and in trouble."""
    for name in ROUTES:
        space.apply(actor(name, scaling={"enabled": name != "publisher", "minReplicas": 1, "maxReplicas": 20}))
    space.apply(example("rabbitmq-deployment"))
    space.apply(actor("nightly", scaling={"enabled": True, "paused": True}))
    space.apply(marked("broken"))
    space.apply(actor("web", workload={"name": "web"}))
    for name in ROUTES:
        space.wait_condition(name, "Ready", "True")
        if name != "publisher":
            autoscaler(space, name, 3)
    report(space, running_pod(space, "broken"), ready=False, status=TROUBLES["ImagePullError"][0])
    message = "404 NOT_FOUND no queue 'asya-translator' in vhost '/'"
    condition = {"type": "Ready", "status": "False", "reason": "ScaledObjectCheckFailed", "message": message}
    space.patch("ScaledObject", "translator", {"status": {"conditions": [condition]}}, "status")
    expected_phases = {
        "broken": "ImagePullError",
        "translator": "QueueMissing",
        "web": "WorkloadError",
        "nightly": "Paused",
    }
    for name, phase in expected_phases.items():
        wait_for(phase, lambda n=name, p=phase: (space.get("AsyncActor", n) or {})["status"]["phase"] == p)  # type: ignore[misc]


def marked(name: str) -> Object:
    """An actor with the mark in every field where a careless user may write a password."""
    made = actor(name)
    made["metadata"]["annotations"] = {"note": f"the password is {MARK}"}
    made["spec"]["sidecar"] = {
        "env": [
            {"name": "ASYA_RABBITMQ_URL", "value": f"amqp://asya:{MARK}@rabbitmq/"},
            {"name": "ASYA_RABBITMQ_PASSWORD", "value": MARK},
        ]
    }
    container = made["spec"]["workload"]["template"]["spec"]["containers"][0]
    container["env"].append({"name": "DB_PASSWORD", "value": f"{MARK}-plain"})
    container["args"] = ["--password", MARK]
    return made


def autoscaler(space: Space, name: str, length: int, replicas: int = 1) -> None:
    """Set the queue length in the status of the autoscaler that KEDA creates for an actor."""
    scaled: Any = space.wait("ScaledObject", name)
    owner = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": name, "controller": True}
    made = {
        "apiVersion": AUTOSCALERS.api_version,
        "kind": AUTOSCALERS.kind,
        "metadata": {
            "name": f"keda-hpa-{name}",
            "namespace": space.name,
            "ownerReferences": [{**owner, "uid": scaled["metadata"]["uid"]}],
        },
        "spec": {"maxReplicas": 5, "scaleTargetRef": {"kind": "Deployment", "name": name}},
    }
    space.client.apply(AUTOSCALERS, made, manager="keda")
    metric = {
        "type": "External",
        "external": {
            "metric": {"name": f"s0-rabbitmq-asya-{space.name}-{name}"},
            "current": {"averageValue": f"{-(-length * 1000 // replicas)}m"},
        },
    }
    status = {"currentReplicas": replicas, "desiredReplicas": replicas, "currentMetrics": [metric]}
    path = AUTOSCALERS.path(space.name, f"keda-hpa-{name}", "status")
    space.client.request(
        "PATCH",
        path,
        body={"status": status},
        content_type="application/merge-patch+json",
        query={"fieldManager": "hpa"},
    )


def remember(scene: Scene, shapes: dict[str, tuple[float, float]]) -> None:
    """Give actors ten minutes of queue lengths, each with a mean and a variation. The last value is the present one."""
    for n in range(120):
        lengths = {
            (scene.space.name, name): round(max(0.0, mean + swing * math.sin(n / 9 + mean) * math.cos(n / 23)))
            for name, (mean, swing) in shapes.items()
        }
        scene.dashboard.board.history.sample(lengths)
    for (_, name), length in lengths.items():
        autoscaler(scene.space, name, length)
