"""KEDA's own admission accepts all objects of valid actors, and refuses invalid ones."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings

from crds.models import AsyncActor
from kube.failures import ApiError
from kube.objects import Object
from tests.harness.space import BY_KIND
from tests.node.kubectl import apply
from tests.node.site import IMAGE, Site
from tests.unit.test_scalers import actors, objects

pytestmark = pytest.mark.usefixtures("keda")
Report = Callable[[object], None]
EXAMPLES = 60


def dry_run(site: Site, obj: Object) -> str:
    """The refusals of the API server and KEDA's webhooks for an object. Empty if they accept it."""
    obj = site.here(obj)
    obj["metadata"].pop("ownerReferences", None)
    name = obj["metadata"]["name"]
    try:
        site.client.request(
            "PATCH",
            BY_KIND[obj["kind"]].path(site.name, name),
            query={"fieldManager": "asya-operator", "force": "true", "dryRun": "All", "fieldValidation": "Strict"},
            body=obj,
            content_type="application/apply-patch+yaml",
        )
    except ApiError as error:
        return f"{obj['kind']}: {error.message}"
    return ""


def target(kind: str, name: str) -> Object:
    """The target of a ScaledObject. KEDA looks for it, and for its requests if a trigger uses cpu or memory."""
    requests = {"requests": {"cpu": "10m", "memory": "16Mi"}}
    container = {"name": "runtime", "image": IMAGE, "resources": requests}
    spec: Object = {
        "replicas": 0,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
    }
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def test_kedas_admission_accepts_the_objects_of_every_valid_actor(site: Site, report: Report) -> None:
    refused, counts, observed = list[str](), dict[str, int](), 0
    there = set[tuple[str, str]]()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(actors())
    def every(one: AsyncActor) -> None:
        nonlocal observed
        observed += 1
        kind, name = one.spec.workload.type, one.metadata.name
        if kind != "Job" and (kind, name) not in there:
            apply(target(kind, name), namespace=site.name)
            there.add((kind, name))
        for obj in objects(one):
            counts[obj["kind"]] = counts.get(obj["kind"], 0) + 1
            why = dry_run(site, obj)
            if why and len(refused) < 10:
                refused.append(f"{why} {obj.get('spec', '')}")

    every()
    report(f"{observed} actors, {counts}, {len(refused)} refused")
    assert not refused, "\n".join(refused)


def test_keda_refuses_invalid_objects(site: Site) -> None:
    """Without this, the test above could pass without KEDA's admission."""
    apply(target("Deployment", "one"), namespace=site.name)
    spec: Object = {"scaleTargetRef": {"name": "one"}, "minReplicaCount": 5, "maxReplicaCount": 2, "triggers": []}
    obj = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "one"}, "spec": spec}
    assert "admission webhook" in dry_run(site, obj)
