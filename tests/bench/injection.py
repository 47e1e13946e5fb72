"""The run time of the injection function alone, by number of containers, compared with a diff of whole pods."""

import timeit
from collections.abc import Callable

import jsonpatch

from crds.parse import parse_actor
from crds.shape import shape_fault
from injection.inject import inject
from injection.plan import Plan, make_plan
from injection.settings import SidecarDefaults
from kube.objects import Object
from tests.bench.measure import RUNS, Result, median
from tests.harness.space import actor
from webhook.patch import operations

SIZES = (1, 2, 5, 10, 20)
CALLS = 500


def run() -> list[Result]:
    """Microseconds of check, injection and patch for templates with 1 to 20 containers."""
    stored = {**actor("bench"), "metadata": {"name": "bench", "namespace": "default"}}
    plan = make_plan(parse_actor(stored), SidecarDefaults())
    return [result for size in SIZES for result in _measure(size, plan)]


def _measure(size: int, plan: Plan) -> list[Result]:
    template = _template(size)
    injected = inject(template, plan)

    def admit() -> None:
        shape_fault(template)
        operations(template, inject(template, plan))

    ours = _microseconds(admit)
    compared = _microseconds(lambda: jsonpatch.make_patch(template, injected), calls=20)
    second = _microseconds(lambda: inject(injected, plan))
    return [
        Result("injection", f"{size} containers", ours, "µs", compared, "jsonpatch.make_patch"),
        Result("injection", f"{size} containers, each", ours / size, "µs"),
        Result("injection", f"{size} containers, injected already", second, "µs"),
    ]


def _microseconds(function: Callable[[], object], calls: int = CALLS) -> float:
    return median(timeit.repeat(function, number=calls, repeat=RUNS)) / calls * 1e6


def _template(size: int) -> Object:
    env = [{"name": f"SETTING_{n}", "value": "a value"} for n in range(10)]
    containers = [
        {
            "name": "runtime" if n == 0 else f"other-{n}",
            "image": "app:1",
            "env": [{"name": "ASYA_HANDLER", "value": "app.handle"}, *env],
            "ports": [{"containerPort": 8000 + n, "protocol": "TCP"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }
        for n in range(size)
    ]
    labels = {"asya.io/actor": "bench"}
    return {"metadata": {"labels": labels}, "spec": {"containers": containers, "volumes": [{"name": "data"}]}}
