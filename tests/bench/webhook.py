"""The cost of an admission over TLS, compared with a handler on the same stack that allows and does nothing."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from crds.parse import parse_actor
from injection.inject import inject
from injection.plan import make_plan
from injection.settings import SidecarDefaults
from kube.objects import Object
from kube.resources import ASYNC_ACTORS
from tests.bench.floor import serving
from tests.bench.load import drive, post
from tests.bench.measure import RUNS, Result, cpu_seconds, family, median, percentile
from tests.harness.operator import alone
from tests.harness.space import actor

CONNECTIONS = (1, 8, 32)
SECONDS = 1.0
LIMITS: dict[str, tuple[float, Literal["ratio", "excess"]]] = {"p50 ms": (1.6, "ratio"), "CPU ms": (0.4, "excess")}
"""Limits for a full injection: as a ratio to the baseline, and as a difference."""
NAME = "bench"
FULL_INJECTIONS = ("pod", "Deployment")


def reviews() -> dict[str, bytes]:
    """Reviews that the webhook receives, by name. The review of the pod has 2.4 kB."""
    template = _template()
    stored = {**actor(NAME), "metadata": {"name": NAME, "namespace": "default"}}
    plan = make_plan(parse_actor(stored), SidecarDefaults())
    labels = {"asya.io/actor": NAME}
    return {
        "pod": _review("", "pods", {**template, "metadata": {**template["metadata"], "labels": labels}}),
        "Deployment": _review("apps", "deployments", _deployment(template, labels)),
        "injected Deployment": _review("apps", "deployments", _deployment(inject(template, plan), labels)),
        "unlabelled": _review("apps", "deployments", _deployment(template, {"app": "other"})),
    }


def _template() -> Object:
    env = [{"name": f"SETTING_{n}", "value": "a value of usual length"} for n in range(18)]
    container = {
        "name": "runtime",
        "image": "registry.example.com/team/function:1.2.3",
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "ASYA_HANDLER", "value": "app.handle"}, *env],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "cache", "emptyDir": {}}],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
    }
    return {"metadata": {"name": "bench-5d4f8c7b9-x2x7q", "labels": {"app": NAME}}, "spec": spec}


def _deployment(template: Object, labels: dict[str, str]) -> Object:
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": NAME}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME, "labels": labels}, "spec": spec}


def _review(group: str, resource: str, obj: Object) -> bytes:
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "resource": {"group": group, "version": "v1", "resource": resource},
        "name": obj["metadata"]["name"],
        "namespace": "default",
        "operation": "CREATE",
        "userInfo": {
            "username": "system:serviceaccount:kube-system:replicaset-controller",
            "groups": ["a"],
        },
        "object": obj,
        "oldObject": None,
        "dryRun": False,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


@contextmanager
def servers() -> Iterator[dict[str, tuple[int, int]]]:
    """The webhook with one actor in its cache, and the baseline: port and process id of each."""
    with alone() as operator:
        operator.install()
        obj = actor(NAME)
        obj["metadata"]["namespace"] = "default"
        operator.client.apply(ASYNC_ACTORS, obj, manager="kubectl")
        operator.start_webhook()
        assert operator.webhook is not None
        with serving(operator.directory) as floor:
            yield {"webhook": (operator.port, operator.webhook.pid), "floor": floor}


def run() -> list[Result]:
    """p50, p99, requests per second and CPU of each kind of review with 1, 8 and 32 connections."""
    with servers() as outcome:
        return [
            result
            for case, review in reviews().items()
            for connections in CONNECTIONS
            for result in _measure(outcome, case, review, connections)
        ]


def _measure(result: dict[str, tuple[int, int]], case: str, review: bytes, connections: int) -> list[Result]:
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(RUNS):
        for server, (port, pid) in result.items():
            pids = family(pid)
            before, began = cpu_seconds(pids), time.perf_counter()
            latencies = drive(port, post(review), connections, SECONDS)
            figures["requests/s"][server].append(len(latencies) / (time.perf_counter() - began))
            figures["CPU ms"][server].append((cpu_seconds(pids) - before) * 1000 / len(latencies))
            figures["p50 ms"][server].append(percentile(latencies, 0.5))
            figures["p99 ms"][server].append(percentile(latencies, 0.99))
    limits = LIMITS if case in FULL_INJECTIONS and connections == 1 else {}
    title = f"{case} ({len(review) / 1000:.1f} kB), {connections} connections"
    results = []
    for unit, by in figures.items():
        ours, floor = median(by["webhook"]), median(by["floor"])
        limit, of = limits.get(unit, (None, None))
        results.append(Result("webhook", title, ours, unit, floor, "allows, does nothing", limit, of or "value"))
    return results
