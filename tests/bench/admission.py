"""The time that the API server measures for the webhook while clients create labelled pods.

A second webhook allows everything and does nothing. It is the baseline. The API server calls both for each pod.
"""

import re
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from kube.objects import Object
from kube.resources import ASYNC_ACTORS, MUTATING_WEBHOOKS, PODS
from tests.bench.converge import operated
from tests.bench.floor import serving
from tests.bench.measure import RUNS, Result, median
from tests.harness.clusters import wait_for, why_not_real
from tests.harness.operator import WEBHOOK_CONFIGURATION_SECONDS, Operator
from tests.harness.space import actor

PODS_A_RUN = 500
THREADS = (1, 4)
"""Number of clients that create pods. Four clients and the API server keep both cores of a small machine busy."""
P99_MS = 10.0
IS = "allows, does nothing"
OURS, FLOOR = "inject.asya.io", "floor.example.com"
_BUCKET = re.compile(
    r'^apiserver_admission_webhook_admission_duration_seconds_bucket\{name="([^"]+)",operation="CREATE",'
    r'rejected="false",type="admit",le="([^"]+)"\} (\d+)$',
    re.MULTILINE,
)
Buckets = dict[float, int]


def run() -> list[Result]:
    """p50 and p99 from the API server's histogram. Without a real API server, nothing."""
    if why_not_real():
        return []
    with operated() as operator:
        obj = actor("bench")
        obj["metadata"]["namespace"] = "default"
        operator.client.apply(ASYNC_ACTORS, obj, manager="kubectl")
        with serving(operator.directory) as (port, _):
            operator.client.apply(MUTATING_WEBHOOKS, _configuration(operator, port), manager="bench")
            time.sleep(WEBHOOK_CONFIGURATION_SECONDS)
            _create(operator, "first", 20, 1)
            wait_for("both webhooks to be asked", lambda: {OURS, FLOOR} <= _buckets(operator).keys())
            return [result for threads in THREADS for result in _measure(operator, threads)]


def _measure(operator: Operator, threads: int) -> list[Result]:
    ms: dict[tuple[str, float], list[float]] = defaultdict(list)
    for number in range(RUNS):
        before = _buckets(operator)
        _create(operator, f"{threads}-{number}", PODS_A_RUN, threads)
        after = _buckets(operator)
        for name in (OURS, FLOOR):
            counts = {le: count - before[name].get(le, 0) for le, count in after[name].items()}
            for share in (0.5, 0.99):
                ms[name, share].append(quantile(counts, share) * 1000)
    case = f"{PODS_A_RUN} pods, {threads} at a time"
    limit = P99_MS if threads == 1 else None
    return [
        Result("admission", f"{case}, {label}", median(ms[OURS, share]), "ms", median(ms[FLOOR, share]), IS, most)
        for label, share, most in (("p50", 0.5, None), ("p99", 0.99, limit))
    ]


def quantile(buckets: Buckets, share: float) -> float:
    """The quantile as in Prometheus' ``histogram_quantile``: values are spread evenly within a bucket."""
    target_count = share * buckets[float("inf")]
    lower, below = 0.0, 0
    for le, count in sorted(buckets.items()):
        if count >= target_count:
            return (
                lower if le == float("inf") else lower + (le - lower) * (target_count - below) / max(1, count - below)
            )
        lower, below = le, count
    raise AssertionError("the last bucket holds all")


def _buckets(operator: Operator) -> dict[str, Buckets]:
    response = operator.client.request("GET", "/metrics", stream=True)
    buckets: dict[str, Buckets] = {}
    for name, le, count in _BUCKET.findall(response.read().decode()):
        buckets.setdefault(name, {})[float(le)] = int(count)
    return buckets


def _create(operator: Operator, prefix: str, count: int, threads: int) -> None:
    def create(number: int) -> None:
        metadata = {"name": f"{prefix}-{number}", "namespace": "default", "labels": {"asya.io/actor": "bench"}}
        spec = {"containers": [{"name": "app", "image": "app:1"}]}
        made = operator.client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        if made["spec"]["containers"][0]["name"] != "sidecar":
            raise AssertionError("a pod was not injected")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(create, range(count)))


def _configuration(operator: Operator, port: int) -> Object:
    ours = operator.client.get(MUTATING_WEBHOOKS, "", "asya-operator")
    assert ours is not None, "the operator is not installed"
    ca = ours["webhooks"][0]["clientConfig"]["caBundle"]
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
