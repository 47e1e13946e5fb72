"""What the API server itself says that the webhook takes, while labelled pods are created.

The floor, a handler that allows and does nothing, is registered for the same pods, so that each of them asks both.
"""

import base64
import re
from concurrent.futures import ThreadPoolExecutor

from kube.client import ASYNC_ACTORS, MUTATING_WEBHOOKS, PODS, Object
from tests.bench.converge import operated
from tests.bench.floor import process
from tests.bench.measure import RUNS, Result, median
from tests.harness.clusters import free_port, wait_for, why_not_real
from tests.harness.operator import Operator
from tests.harness.space import actor

PODS_A_RUN = 500
THREADS = 4
P99_MS = 10.0
OURS, FLOOR = "inject.asya.io", "floor.example.com"
_BUCKET = re.compile(
    r'^apiserver_admission_webhook_admission_duration_seconds_bucket\{name="([^"]+)",operation="CREATE",'
    r'rejected="false",type="admit",le="([^"]+)"\} (\d+)$',
    re.MULTILINE,
)
Buckets = dict[float, int]


def run() -> list[Result]:
    """p50 and p99 of the API server's histogram; nothing without a real API server."""
    if why_not_real():
        return []
    found: dict[tuple[str, float], list[float]] = {}
    with operated() as operator:
        obj = actor("bench")
        obj["metadata"]["namespace"] = "default"
        operator.client.apply(ASYNC_ACTORS, obj, manager="kubectl")
        port = free_port()
        files = operator.directory
        floor = process(port, files / "tls.crt", files / "tls.key", files / "floor.log").start()
        try:
            operator.client.apply(MUTATING_WEBHOOKS, _configuration(operator, port), manager="bench")
            _create(operator, -1, 20)
            wait_for("both webhooks to be asked", lambda: {OURS, FLOOR} <= _buckets(operator).keys())
            for number in range(RUNS):
                before = _buckets(operator)
                _create(operator, number, PODS_A_RUN)
                after = _buckets(operator)
                for name in (OURS, FLOOR):
                    counts = {le: after[name][le] - before[name].get(le, 0) for le in after[name]}
                    for share in (0.5, 0.99):
                        found.setdefault((name, share), []).append(quantile(counts, share))
        finally:
            floor.stop()
    case = f"{PODS_A_RUN} pods, as the API server sees it"
    ms = {key: median(values) * 1000 for key, values in found.items()}
    return [
        Result("admission", f"{case}, {label}", ms[OURS, share], "ms", ms[FLOOR, share], "allows, does nothing", limit)
        for label, share, limit in (("p50", 0.5, None), ("p99", 0.99, P99_MS))
    ]


def quantile(buckets: Buckets, share: float) -> float:
    """As Prometheus' ``histogram_quantile``: within its bucket, a value counts as evenly spread."""
    wanted = share * buckets[float("inf")]
    lower, below = 0.0, 0
    for le, count in sorted(buckets.items()):
        if count >= wanted:
            return lower if le == float("inf") else lower + (le - lower) * (wanted - below) / max(1, count - below)
        lower, below = le, count
    raise AssertionError("the last bucket holds all")


def _buckets(operator: Operator) -> dict[str, Buckets]:
    response = operator.client.request("GET", "/metrics", stream=True)
    found: dict[str, Buckets] = {}
    for name, le, count in _BUCKET.findall(response.read().decode()):
        found.setdefault(name, {})[float(le)] = int(count)
    return found


def _create(operator: Operator, number: int, count: int) -> None:
    def create(n: int) -> None:
        metadata = {"name": f"bench-{number}-{n}", "namespace": "default", "labels": {"asya.io/actor": "bench"}}
        spec = {"containers": [{"name": "app", "image": "app:1"}]}
        made = operator.client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        if made["spec"]["containers"][0]["name"] != "sidecar":
            raise AssertionError("a pod was not injected")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(create, range(count)))


def _configuration(operator: Operator, port: int) -> Object:
    ca = base64.b64encode((operator.directory / "ca.crt").read_bytes()).decode()
    webhook = {
        "name": FLOOR,
        "clientConfig": {"url": f"https://127.0.0.1:{port}/mutate", "caBundle": ca},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "objectSelector": {"matchExpressions": [{"key": "asya.io/actor", "operator": "Exists"}]},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "floor"},
        "webhooks": [webhook],
    }
