"""Owned, borrowed, labelled and orphaned objects in clusters, with every write on the way."""

import signal
import time

import pytest

from cli.release import release_all
from kube.failures import ApiError
from kube.resources import ASYNC_ACTORS
from tests.cluster.labelling import LABEL, label, own, rollout_count, sidecar_of, workload
from tests.cluster.watching import ready, settle
from tests.harness.clusters import wait_for
from tests.harness.history import History
from tests.harness.operator import NAMESPACE, Operator
from tests.harness.space import BY_KIND, Space, actor, containers

FINALIZER = "asya.io/release"


# -- deletions -----------------------------------------------------------------------------------


def test_owned_objects_are_left_to_garbage_collection(space: Space) -> None:
    for n in range(10):
        space.apply(actor(f"a{n}"))
    for n in range(10):
        ready(space, f"a{n}")
    deployments, replica_sets = History(space, "Deployment"), History(space, "ReplicaSet")
    for n in range(10):
        space.delete("AsyncActor", f"a{n}")
    for n in range(10):
        space.wait_gone("Deployment", f"a{n}")
    stripped = [d for d in deployments.stop() if not sidecar_of(d) or LABEL not in d["metadata"]["labels"]]
    assert stripped == []
    made = {r["metadata"]["name"] for r in replica_sets.stop()}
    assert len(made) <= 10, "an actor's Deployment created another ReplicaSet"


def wait_for_orphaning(space: Space) -> None:
    """Wait until garbage collection knows KEDA's resources. A control plane looks for new ones from time to time.

    It removes an owner's finalizer ``orphan`` even if it does not know dependents of a kind, and collects these later.
    """
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}}
    triggers = [{"type": "cpu", "metadata": {"value": "1"}}]
    spec = {"scaleTargetRef": {"name": "nothing"}, "triggers": triggers}

    def collected() -> bool:
        uid = space.create_object(owner)["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "probe", "uid": uid}
        metadata = {"name": "ignored-probe", "ownerReferences": [reference]}
        space.create_object(
            {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata, "spec": spec}
        )
        path = BY_KIND["ConfigMap"].path(space.name, "probe")
        space.client.request("DELETE", path, body={"propagationPolicy": "Orphan"})
        space.wait_gone("ConfigMap", "probe")
        live = space.wait("ScaledObject", "ignored-probe")
        space.delete("ScaledObject", "ignored-probe")
        space.wait_gone("ScaledObject", "ignored-probe")
        return not live["metadata"].get("ownerReferences")

    wait_for("garbage collection to know ScaledObjects", collected, pause=2)


def orphan(space: Space, name: str) -> None:
    space.client.request("DELETE", ASYNC_ACTORS.path(space.name, name), body={"propagationPolicy": "Orphan"})
    space.wait_gone("AsyncActor", name)


def test_orphans_stay_complete_and_an_actor_of_their_name_and_shape_adopts_them(space: Space) -> None:
    wait_for_orphaning(space)
    obj = actor("a", scaling={"enabled": True, "minReplicas": 1})
    space.apply(obj)
    ready(space, "a")
    before = {kind: space.wait(kind, "a") for kind in ("Deployment", "ScaledObject")}
    sets = rollout_count(space, "a")
    orphan(space, "a")
    settle(space)
    for kind, was in before.items():
        left = space.wait(kind, "a")
        assert left["metadata"]["uid"] == was["metadata"]["uid"]
        assert left["spec"] == was["spec"] or kind == "Deployment"
        assert not left["metadata"].get("ownerReferences")
    assert containers(space.wait("Deployment", "a")) == ["sidecar", "runtime"]
    space.apply(obj)
    adopter = ready(space, "a")
    for kind, was in before.items():
        adopted = space.wait(kind, "a")
        assert adopted["metadata"]["uid"] == was["metadata"]["uid"]
        assert adopted["metadata"]["ownerReferences"][0]["uid"] == adopter["metadata"]["uid"]
    assert rollout_count(space, "a") == sets
    space.delete("AsyncActor", "a")
    space.wait_gone("Deployment", "a")


def test_a_deployment_of_another_shape_is_never_adopted(space: Space) -> None:
    made = workload("Deployment", "a")
    made["metadata"]["labels"] = {LABEL: "a", "app.kubernetes.io/managed-by": "asya-operator"}
    made["metadata"]["annotations"] = {"asya.io/applied": "0123"}
    space.apply(made)
    space.apply(actor("a"))
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotOwned")
    assert not space.wait("Deployment", "a")["metadata"].get("ownerReferences")


@pytest.mark.only("sandbox")
def test_a_blocked_deletion_names_the_cause(space: Space, operator: Operator) -> None:
    space.apply(workload("Deployment", "x", "a"))
    space.apply(own(scaling={"enabled": True}))
    ready(space, "a")
    wait_for("the ScaledObject", lambda: space.get("ScaledObject", "a"))
    space.patch("ScaledObject", "a", {"metadata": {"finalizers": ["finalizer.keda.sh/x"]}})
    space.delete("AsyncActor", "a")
    message = space.wait_condition("a", "Ready", "False", "DeletionBlocked")["message"]
    assert "the ScaledObject 'a' must be deleted first" in message
    assert "finalizer.keda.sh/x" in message
    assert "kubectl patch scaledobject a" in message
    space.patch("ScaledObject", "a", {"metadata": {"finalizers": None}})
    space.wait_gone("AsyncActor", "a")
    assert containers(space.wait("Deployment", "x")) == ["app"]


def test_release_works_without_an_operator(space: Space, operator: Operator) -> None:
    space.apply(workload("Deployment", "x", "a"))
    space.apply(actor("a"))
    ready(space, "a")
    wait_for("a finalizer", lambda: FINALIZER in (space.get("AsyncActor", "a") or {})["metadata"]["finalizers"])
    operator.stop_controllers()
    space.delete("AsyncActor", "a")
    before = space.wait("Deployment", "x")["spec"]
    assert f"{space.name}/a" in release_all(space.client, NAMESPACE, lambda seconds: None)
    space.wait_gone("AsyncActor", "a")
    assert space.wait("Deployment", "x")["spec"]["template"] == before["template"]


@pytest.mark.only("sandbox")
def test_release_stops_a_running_controller_first(space: Space, operator: Operator) -> None:
    space.apply(workload("Deployment", "x", "a"))
    space.apply(actor("a"))
    ready(space, "a")
    wait_for("a finalizer", lambda: FINALIZER in (space.get("AsyncActor", "a") or {})["metadata"]["finalizers"])
    assert f"{space.name}/a" in release_all(space.client, NAMESPACE)
    time.sleep(3)
    assert not (space.get("AsyncActor", "a") or {})["metadata"].get("finalizers")
    operator.restart_controller()
    wait_for("it back", lambda: FINALIZER in (space.get("AsyncActor", "a") or {})["metadata"]["finalizers"])


@pytest.mark.parametrize("away", [False, True], ids=["webhook refuses", "webhook is away"])
@pytest.mark.needs_kubernetes(1, 30)
def test_a_deleted_workload_loses_its_finalizers_even_if_admission_would_deny_it(
    space: Space, operator: Operator, away: bool
) -> None:
    broken = workload("Deployment", "x", "a")
    broken["metadata"]["finalizers"] = ["example.com/x"]
    space.apply(broken)  # there is no actor yet, so admission does not check its containers
    extra = {"spec": {"template": {"spec": {"containers": [{"name": n, "image": "app:1"} for n in ("one", "two")]}}}}
    space.patch("Deployment", "x", extra)
    space.delete("Deployment", "x")
    space.apply(actor("a"))
    ready(space, "a")
    if away:
        operator.stop_webhook(signal.SIGKILL)
    space.patch("Deployment", "x", {"metadata": {"finalizers": None}})
    space.wait_gone("Deployment", "x")


# -- objects that must not be taken over ---------------------------------------------------------


def test_an_object_that_replaced_the_one_read_is_not_changed(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    live = space.wait("Deployment", "a")
    space.delete("AsyncActor", "a")
    space.wait_gone("Deployment", "a")
    other = space.apply(workload("Deployment", "a"))
    with pytest.raises(ApiError) as caught:
        space.client.apply(BY_KIND["Deployment"], space.here(workload("Deployment", "a")), uid=live["metadata"]["uid"])
    assert caught.value.code == 409
    label(space, "Deployment", "a", None)
    assert space.wait("Deployment", "a")["metadata"]["uid"] == other["metadata"]["uid"]
