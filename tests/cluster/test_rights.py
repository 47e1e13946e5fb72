"""The operator's rights from the chart: all that it needs, no others, and no Secrets of others."""

import json
import signal
import time

import pytest
import yaml

from kube.failures import ApiError
from kube.objects import Object
from kube.resources import SECRETS, Resource
from tests.cases.troubles import TROUBLES, report, running_pod
from tests.cluster.labelling import own, workload
from tests.cluster.watching import ready
from tests.harness.clusters import wait_for
from tests.harness.helm import Helm
from tests.harness.operator import uninstall_keda
from tests.harness.release import NAMESPACE, Release
from tests.harness.space import Space, actor, example

pytestmark = pytest.mark.best_tier

SECRET = "asya-operator-webhook-cert"


def rules(objects: list[Object]) -> set[tuple[str, str, str, str]]:
    """(ServiceAccount, verb, group, resource) of every right in the chart."""
    given = set()
    for obj in objects:
        aggregated = any("aggregate-to-" in label for label in obj["metadata"].get("labels") or ())
        if obj["kind"] in ("ClusterRole", "Role") and not aggregated:
            for rule in obj["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        given |= {(obj["metadata"]["name"], verb, group, resource) for verb in rule["verbs"]}
    return given


def test_no_right_is_a_wildcard_or_covers_secrets_of_others() -> None:
    for values in ({}, {"certs": {"mode": "secret"}}, {"certs": {"mode": "cert-manager"}}):
        objects = Helm().template(values)
        for _, *parts in rules(objects):
            assert "*" not in parts
        for obj in objects:
            for rule in obj.get("rules") or ():
                if "configmaps" in rule["resources"]:
                    assert set(rule["resourceNames"]) <= {"asya-runtime", "asya-keda"}
                if "secrets" in rule["resources"]:
                    assert obj["kind"] == "Role"
                    assert obj["metadata"]["namespace"] == NAMESPACE
                    own = SECRET + ("-manager" if values.get("certs") == {"mode": "cert-manager"} else "")
                    allowed = {own} if obj["metadata"]["name"].endswith("-webhook") else {own, f"{own}-ca"}
                    assert set(rule.get("resourceNames", [])) <= allowed
                    assert rule.get("resourceNames") or rule["verbs"] == ["create"]


def _job(kind: str = "Job") -> Object:
    obj = actor("job")
    obj["spec"]["workload"]["type"] = kind
    return obj


def _make_actors_of_each_kind(space: Space) -> None:
    space.apply(example("rabbitmq-deployment"))
    space.apply(example("sqs-statefulset"))
    space.apply(example("scaled-job"))
    space.apply(_job())
    for name in ("text-processor", "indexer", "video-encoder", "job"):
        ready(space, name)


def _label_and_inject_again(space: Space) -> Object:
    """Label and re-inject every kind. Return the actor that was changed for that."""
    for kind in ("Deployment", "StatefulSet", "DaemonSet", "CronJob"):
        space.apply(workload(kind, "x", "text-processor"))
    scaled_job = {
        **space.wait("ScaledJob", "video-encoder"),
        "metadata": {"name": "x", "labels": {"asya.io/actor": "indexer"}},
    }
    scaled_job.pop("status", None)
    space.apply(scaled_job)
    space.apply(workload("Job", "x", "text-processor"))
    changed = example("rabbitmq-deployment")
    changed["spec"]["timeout"]["processing"] = 61
    space.apply(changed)
    wait_for("re-injection", lambda: "61s" in str(space.wait("CronJob", "x")))
    return changed


def _bring_ones_own(space: Space) -> None:
    """Borrow workloads of both kinds, scale them and give them back."""
    for name, kind in (("own-a", "Deployment"), ("own-b", "StatefulSet")):
        space.apply(workload(kind, name, name))
        obj = own(name, scaling={"enabled": True})
        obj["spec"]["workload"] = {"name": name, "type": kind}
        space.apply(obj)
        ready(space, name)
        space.scale(kind, name, 5)
        space.delete("AsyncActor", name)
        space.wait_gone("AsyncActor", name)
        assert space.wait(kind, name)["spec"]["replicas"] == 2


def _change_types(space: Space) -> None:
    """Replace Jobs, and change the type of workloads."""
    job = _job()
    job["spec"]["timeout"] = {"processing": 7}
    space.apply(job)
    job["spec"]["workload"]["type"] = "StatefulSet"
    time.sleep(2)
    space.apply(job)
    space.wait("StatefulSet", "job")
    job["spec"]["workload"]["type"] = "Deployment"
    space.apply(job)
    space.wait("Deployment", "job")
    space.wait_gone("StatefulSet", "job")
    job["spec"]["workload"]["type"] = "StatefulSet"
    space.apply(job)
    space.wait_gone("Deployment", "job")


def _have_troubles(space: Space) -> None:
    """Let KEDA report errors, and let the controller look at a pod that is not ready."""
    for ready_now in ("False", "True", "False"):  # the second time it is the same Event with a higher count
        status = {"status": {"conditions": [{"type": "Ready", "status": ready_now, "message": "no"}]}}
        space.patch("ScaledObject", "text-processor", status, "status")
        space.wait_condition("text-processor", "ScalingReady", ready_now, timeout=10)
    space.apply(actor("broken"))
    ready(space, "broken")
    report(space, running_pod(space, "broken"), ready=False, status=TROUBLES["ImagePullError"][0])
    space.wait_condition("broken", "PodsReady", "False", "ImagePullError")


def _end(release: Release, space: Space, changed: Object) -> None:
    """Turn scaling off, release everything, uninstall KEDA, then stop the operator."""
    client = release.client
    changed["spec"]["scaling"]["enabled"] = False
    space.apply(changed)
    space.wait_gone("ScaledObject", "text-processor")
    encoder = example("scaled-job")
    encoder["spec"]["scaling"]["enabled"] = False
    space.apply(encoder)
    space.wait_gone("ScaledJob", "video-encoder")
    # Everything is released, the script with the last actor. The Secret is restored.
    client.delete(SECRETS, NAMESPACE, SECRET)
    wait_for("the Secret", lambda: client.get(SECRETS, NAMESPACE, SECRET))
    pod = workload("Pod", "unknown", "nobody")
    with pytest.raises(ApiError, match="there is no AsyncActor 'nobody'"):
        space.create_object(pod)
    for obj in space.all("AsyncActor"):
        space.delete("AsyncActor", obj["metadata"]["name"])
    space.delete("Job", "x")  # this workload cannot be un-injected, so the script stays
    space.wait_gone("ConfigMap", "asya-runtime")
    # KEDA is installed and removed, and so is the operator.
    uninstall_keda(client)
    time.sleep(2)
    release.stop(signal.SIGTERM)
    release.uninstall()


def _audited(release: Release) -> tuple[set[tuple[str, str, str, str]], list[object]]:
    """Requests of the ServiceAccounts as (account, verb, group, resource), and those that were forbidden."""
    used, forbidden = set[tuple[str, str, str, str]](), list[object]()
    for line in (release.cluster.directory / "audit.log").read_text().splitlines():
        event = json.loads(line)
        if "objectRef" not in event:
            continue
        reference = event["objectRef"]
        account = event["user"]["username"].rpartition(":")[2]
        resource = reference["resource"] + (f"/{reference['subresource']}" if reference.get("subresource") else "")
        request = (account, event["verb"], reference.get("apiGroup", ""), resource)
        used.add(request)
        status = event.get("responseStatus") or {}
        if event["verb"] == "patch" and status.get("code") == 201:
            # An apply that creates an object also needs the right to create.
            used.add((account, "create", *request[2:]))
        if status.get("code") == 403 and "is being terminated" not in status.get("message", ""):
            forbidden.append((request, status.get("message")))
    return used, forbidden


@pytest.mark.needs_kubernetes(1, 30)
def test_every_right_is_used_and_none_is_missing(release: Release, place: Space) -> None:
    """The requests of a whole life are exactly the rights in the chart.

    Without one of these rights, a request in this list gets a 403, so each right is necessary.
    """
    if not release.cluster.real:
        pytest.skip("the sandbox checks no rights")
    release.start(webhooks=1)
    _make_actors_of_each_kind(place)
    changed = _label_and_inject_again(place)
    _bring_ones_own(place)
    _change_types(place)
    _have_troubles(place)
    _end(release, place, changed)
    used, forbidden = _audited(release)
    assert forbidden == []
    # The API server checks this right itself, when an owner reference blocks the deletion of its owner.
    implied = {("asya-operator", "update", "asya.io", "asyncactors/finalizers")}
    # The controller reads it only if a watch is behind a re-injection's write, which depends on timing.
    for group, resource in (("apps", "daemonsets"), ("batch", "cronjobs"), ("keda.sh", "scaledjobs")):
        implied.add(("asya-operator", "get", group, resource))
    given = rules([d for d in Helm().template({}) if d]) - implied
    assert yaml.safe_dump(sorted(map(list, given - used))) == "[]\n", "rights that are never used"


CLUSTER_ROLES = Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles")


def test_owners_that_block_their_deletion_need_the_right_to_their_finalizers(release: Release, place: Space) -> None:
    """The admission plugin OwnerReferencesPermissionEnforcement checks this right. OpenShift turns it on."""
    if not release.cluster.real:
        pytest.skip("the sandbox checks no rights")
    release.start(webhooks=1)
    role = release.client.get(CLUSTER_ROLES, "", "asya-operator")
    assert role
    role["rules"] = [rule for rule in role["rules"] if "asyncactors/finalizers" not in rule["resources"]]
    release.client.request("PUT", CLUSTER_ROLES.path(name="asya-operator"), body=role)
    time.sleep(0.5)
    place.apply(actor("a"))
    message = place.wait_condition("a", "WorkloadReady", "False", "WorkloadForbidden", timeout=15)["message"]
    assert "cannot set blockOwnerDeletion" in message
