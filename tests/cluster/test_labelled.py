"""Label what already runs: injection, re-injection, un-injection and bring your own, counted by roll-overs."""

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kube.objects import Object
from tests.cluster.test_actors import ready, settle
from tests.harness.clusters import wait_for
from tests.harness.operator import Operator
from tests.harness.space import BY_KIND, Space, actor, containers

LABEL = "asya.io/actor"


def workload(kind: str, name: str, label: str | None = None, image: str = "app:1") -> Object:
    """A workload as a service owner has it."""
    pod: Object = {"containers": [{"name": "app", "image": image, "env": [{"name": "ASYA_HANDLER", "value": "a.b"}]}]}
    template: Object = {"metadata": {"labels": {"app": name}}, "spec": pod}
    metadata: Object = {"name": name, **({"labels": {LABEL: label}} if label else {})}
    if kind == "Pod":
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": pod}
    if kind in ("Job", "CronJob"):
        pod["restartPolicy"] = "Never"
        job = {"template": template}
        spec: Object = job if kind == "Job" else {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}
        return {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": spec}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    if kind != "DaemonSet":
        spec["replicas"] = 2
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def template_of(obj: Object) -> Object:
    spec = obj["spec"]
    found: Object = (spec["jobTemplate"]["spec"] if obj["kind"] == "CronJob" else spec)["template"]
    return found


def label(space: Space, kind: str, name: str, value: str | None) -> Object:
    return space.patch(kind, name, {"metadata": {"labels": {LABEL: value}}})


def sidecar_of(obj: Object) -> Object | None:
    pod = template_of(obj)["spec"] if "template" in str(obj["spec"].keys()) or obj["kind"] == "CronJob" else obj["spec"]
    found = [*(pod.get("initContainers") or ()), *pod["containers"]]
    return next((c for c in found if c["name"] == "sidecar"), None)


def roll_overs(space: Space, name: str) -> int:
    """How many templates a Deployment has had."""
    owned = [r for r in space.all("ReplicaSet") if r["metadata"]["ownerReferences"][0]["name"] == name]
    return len(owned)


# -- label, unlabel, relabel ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "CronJob"])
def test_labelling_injects_at_once_and_unlabelling_restores(space: Space, kind: str) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    before = space.apply(workload(kind, "x"))
    labelled = label(space, kind, "x", "a")
    assert labelled["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert sidecar_of(labelled)
    assert template_of(labelled)["metadata"]["labels"][LABEL] == "a"
    time.sleep(1)
    assert template_of(space.wait(kind, "x")) == template_of(labelled)
    # An edit in between is kept.
    edited = copy.deepcopy(template_of(labelled)["spec"]["containers"])
    next(c for c in edited if c["name"] == "app")["image"] = "app:2"
    path: Object = {"template": {"spec": {"containers": edited}}}
    space.patch(kind, "x", {"spec": {"jobTemplate": {"spec": path}} if kind == "CronJob" else path})
    unlabelled = label(space, kind, "x", None)
    wanted = copy.deepcopy(template_of(before))
    wanted["spec"]["containers"][0]["image"] = "app:2"
    assert template_of(unlabelled) == wanted
    assert unlabelled["metadata"]["generation"] == before["metadata"]["generation"] + 3


@pytest.mark.parametrize("kind", ["Job", "Pod"])
def test_jobs_and_pods_are_injected_when_they_are_created(space: Space, kind: str) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    made = space.create_object(workload(kind, "x", "a"))
    sidecar = sidecar_of(made)
    assert sidecar
    assert sidecar.get("restartPolicy") == ("Always" if kind == "Job" else None)


def test_labelling_a_deployment_rolls_it_over_once_and_relabelling_once_more(space: Space) -> None:
    space.apply(actor("a"))
    space.apply(actor("b", socket={"path": "/tmp/sockets/b.sock"}))
    ready(space, "a")
    ready(space, "b")
    space.apply(workload("Deployment", "x"))
    wait_for("the first ReplicaSet", lambda: roll_overs(space, "x") == 1)
    label(space, "Deployment", "x", "a")
    wait_for("the second", lambda: roll_overs(space, "x") == 2)
    settle(space)
    relabelled = label(space, "Deployment", "x", "b")
    wait_for("the third", lambda: roll_overs(space, "x") == 3)
    settle(space)
    assert roll_overs(space, "x") == 3
    label(space, "Deployment", "x", None)
    fresh = space.apply(workload("Deployment", "y", "b"))
    left, right = (copy.deepcopy(template_of(o)) for o in (relabelled, fresh))
    for template in (left, right):
        template["metadata"]["labels"].pop("app")
    assert left == right, "something of the first actor is left"


def test_a_label_in_the_template_alone_injects_the_pods_and_leaves_the_object(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    obj = workload("Deployment", "x")
    template_of(obj)["metadata"]["labels"][LABEL] = "a"
    made = space.apply(obj)
    assert containers(made) == ["app"]
    pods = wait_for("pods", lambda: [p for p in space.all("Pod") if p["metadata"]["labels"].get("app") == "x"])
    assert [c["name"] for c in pods[0]["spec"]["containers"]] == ["sidecar", "app"]
    assert containers(space.wait("Deployment", "x")) == ["app"]


def test_any_order(space: Space) -> None:
    told = space.warnings(workload("Deployment", "x", "a"))
    assert any("there is no AsyncActor 'a'" in w for w in told)
    space.apply(workload("Deployment", "x", "a"))
    assert containers(space.wait("Deployment", "x")) == ["app"]
    space.apply(actor("a"))
    wait_for("the sidecar", lambda: containers(space.wait("Deployment", "x")) == ["sidecar", "app"])


def test_the_script_is_where_a_labelled_workload_is(space: Space) -> None:
    space.apply(workload("Deployment", "x", "a"))
    space.wait("ConfigMap", "asya-runtime")
    space.delete("Deployment", "x")
    space.wait_gone("ConfigMap", "asya-runtime")


def test_a_dry_run_shows_the_injection_and_changes_nothing(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    space.apply(workload("Deployment", "x"))
    wait_for("its status", lambda: space.wait("Deployment", "x")["status"].get("availableReplicas") == 2)
    before = space.wait("Deployment", "x")
    patch = {"metadata": {"labels": {LABEL: "a"}}}
    shown = space.client.request(
        "PATCH",
        BY_KIND["Deployment"].path(space.name, "x"),
        query={"dryRun": "All"},
        body=patch,
        content_type="application/merge-patch+json",
    )
    assert containers(shown) == ["sidecar", "app"]
    time.sleep(0.5)
    assert space.wait("Deployment", "x") == before


def test_opting_out_takes_the_sidecar_out(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    space.apply(workload("Deployment", "x", "a"))
    out = space.patch("Deployment", "x", {"metadata": {"annotations": {"asya.io/inject": "disabled"}}})
    assert containers(out) == ["app"]
    time.sleep(1)
    assert containers(space.wait("Deployment", "x")) == ["app"]


# -- bring your own ------------------------------------------------------------------------------


def own(name: str = "a", **spec: Any) -> Object:
    return actor(name, workload={"name": "x"}, **spec)


def test_bring_your_own(space: Space) -> None:
    space.apply(own(scaling={"enabled": True, "maxReplicas": 7}))
    assert "Create it" in space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotFound")["message"]
    space.apply(workload("Deployment", "x"))
    told = space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotLabelled", timeout=20)["message"]
    assert "kubectl label deployment x asya.io/actor=a" in told
    assert containers(space.wait("Deployment", "x")) == ["app"]
    assert space.get("ScaledObject", "a") is None
    label(space, "Deployment", "x", "a")
    space.wait_condition("a", "WorkloadReady", "True", "WorkloadFound")
    scaled = space.wait("ScaledObject", "a")
    assert scaled["spec"]["scaleTargetRef"]["name"] == "x"
    found = ready(space, "a")
    assert found["status"]["replicasBeforeScaling"] == 2
    assert found["status"]["workloadRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
    uid = space.wait("Deployment", "x")["metadata"]["uid"]
    space.scale("Deployment", "x", 6)
    settle(space)
    assert space.wait("Deployment", "x")["spec"]["replicas"] == 6
    space.delete("AsyncActor", "a")
    space.wait_gone("AsyncActor", "a")
    space.wait_gone("ScaledObject", "a")
    left = space.wait("Deployment", "x")
    assert left["metadata"]["uid"] == uid
    assert containers(left) == ["app"]
    assert LABEL not in (left["metadata"].get("labels") or {})
    assert left["spec"]["replicas"] == 2
    reasons = {e["reason"] for e in space.all("Event") if e["involvedObject"]["kind"] == "AsyncActor"}
    assert {"WorkloadReleased", "ReplicasRestored"} <= reasons


def test_bring_your_own_scaling_switched_off_puts_the_replicas_back(space: Space) -> None:
    space.apply(workload("StatefulSet", "x", "a"))
    obj = own(scaling={"enabled": True})
    obj["spec"]["workload"]["type"] = "StatefulSet"
    space.apply(obj)
    space.wait("ScaledObject", "a")
    ready(space, "a")
    space.scale("StatefulSet", "x", 5)
    obj["spec"]["scaling"] = {"enabled": False}
    space.apply(obj)
    wait_for("two replicas", lambda: space.wait("StatefulSet", "x")["spec"]["replicas"] == 2)
    space.wait_gone("ScaledObject", "a")
    wait_for("a clean status", lambda: "replicasBeforeScaling" not in (space.get("AsyncActor", "a") or {})["status"])


def test_a_borrowed_workload_whose_label_comes_off_is_scaled_no_more(space: Space) -> None:
    space.apply(workload("Deployment", "x", "a"))
    space.apply(own(scaling={"enabled": True}))
    space.wait("ScaledObject", "a")
    ready(space, "a")
    space.scale("Deployment", "x", 5)
    label(space, "Deployment", "x", None)
    space.wait_gone("ScaledObject", "a")
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotLabelled")
    wait_for("two replicas", lambda: space.wait("Deployment", "x")["spec"]["replicas"] == 2)
    space.scale("Deployment", "x", 3)
    settle(space)
    assert space.wait("Deployment", "x")["spec"]["replicas"] == 3
    label(space, "Deployment", "x", "a")
    space.wait("ScaledObject", "a")
    assert ready(space, "a")["status"]["replicasBeforeScaling"] == 3


def test_what_is_made_in_place_of_a_borrowed_workload_keeps_its_replicas(space: Space) -> None:
    space.apply(workload("Deployment", "x", "a"))
    space.apply(own(scaling={"enabled": True}))
    ready(space, "a")
    space.delete("Deployment", "x")
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotFound", timeout=20)
    space.wait_gone("ScaledObject", "a")
    fresh = workload("Deployment", "x")
    fresh["spec"]["replicas"] = 1
    space.apply(fresh)
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotLabelled", timeout=20)
    space.apply(own(scaling={"enabled": False}))
    settle(space)
    assert space.wait("Deployment", "x")["spec"]["replicas"] == 1


def test_borrowing_another_workload_puts_the_replicas_of_the_first_back(space: Space) -> None:
    for name, replicas in (("x", 4), ("y", 3)):
        made = workload("Deployment", name, "a")
        made["spec"]["replicas"] = replicas
        space.apply(made)
    obj = own(scaling={"enabled": True})
    space.apply(obj)
    ready(space, "a")
    space.scale("Deployment", "x", 0)
    obj["spec"]["workload"]["name"] = "y"
    space.apply(obj)
    wait_for("another target", lambda: space.wait("ScaledObject", "a")["spec"]["scaleTargetRef"]["name"] == "y")
    found = ready(space, "a")
    assert (found["status"]["workloadRef"]["name"], found["status"]["replicasBeforeScaling"]) == ("y", 3)
    assert space.wait("Deployment", "x")["spec"]["replicas"] == 4
    space.delete("AsyncActor", "a")
    space.wait_gone("AsyncActor", "a")
    assert [space.wait("Deployment", name)["spec"]["replicas"] for name in ("x", "y")] == [4, 3]


def test_bring_your_own_is_never_created_rewritten_or_deleted(space: Space) -> None:
    space.apply(own())
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotFound")
    space.apply(workload("Deployment", "x", "a"))
    ready(space, "a")
    space.scale("Deployment", "x", 3)
    space.patch("Deployment", "x", {"spec": {"minReadySeconds": 1}})
    settle(space)
    found = space.wait("Deployment", "x")
    assert (found["spec"]["replicas"], found["spec"]["minReadySeconds"]) == (3, 1)
    assert "ownerReferences" not in found["metadata"]
    space.delete("Deployment", "x")
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotFound", timeout=10)
    time.sleep(1)
    assert space.get("Deployment", "x") is None


def test_an_actor_that_goes_lets_go_of_what_it_does_not_own(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    for kind in ("Deployment", "CronJob", "DaemonSet"):
        space.apply(workload(kind, "x", "a"))
    wait_for("a finalizer", lambda: (space.get("AsyncActor", "a") or {})["metadata"]["finalizers"])
    space.delete("AsyncActor", "a")
    space.wait_gone("AsyncActor", "a")
    for kind in ("Deployment", "CronJob", "DaemonSet"):
        left = space.wait(kind, "x")
        assert not sidecar_of(left)
        assert LABEL not in (left["metadata"].get("labels") or {})
    space.wait_gone("Deployment", "a")


def test_an_actor_without_foreign_workloads_has_no_finalizer(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    space.apply(workload("Deployment", "x", "a"))
    wait_for("a finalizer", lambda: (space.get("AsyncActor", "a") or {})["metadata"].get("finalizers"))
    label(space, "Deployment", "x", None)
    wait_for("no finalizer", lambda: not (space.get("AsyncActor", "a") or {})["metadata"].get("finalizers"))


# -- re-injection --------------------------------------------------------------------------------


def test_a_change_of_the_actor_reaches_every_labelled_workload_once(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    kinds = ("Deployment", "StatefulSet", "DaemonSet", "CronJob")
    generations = {kind: space.apply(workload(kind, "x", "a"))["metadata"]["generation"] for kind in kinds}
    wait_for("the roll-out", lambda: space.wait("Deployment", "x")["status"].get("availableReplicas") == 2)
    before = roll_overs(space, "x")
    generations["Deployment"] = space.wait("Deployment", "x")["metadata"]["generation"]
    space.apply(actor("a", timeout={"processing": 123}))
    for kind in kinds:
        wait_for(f"the {kind}", lambda kind=kind: "123s" in str(template_of(space.wait(kind, "x"))))  # type: ignore[misc]
    wait_for("nothing left to do", lambda: (space.get("AsyncActor", "a") or {})["status"]["outdatedWorkloads"] == 0)
    settle(space)
    for kind in ("StatefulSet", "DaemonSet", "CronJob"):
        assert space.wait(kind, "x")["metadata"]["generation"] == generations[kind] + 1, kind
    assert roll_overs(space, "x") == before + 1


def test_a_change_of_the_script_rolls_workloads_over_once(space: Space, operator: Operator) -> None:
    space.apply(actor("a"))
    space.apply(workload("Deployment", "x", "a"))
    ready(space, "a")
    wait_for("the sidecar", lambda: containers(space.wait("Deployment", "x")) == ["sidecar", "app"])
    settle(space)
    before = {name: roll_overs(space, name) for name in ("a", "x")}
    with operator.edited_script() as good:
        operator.script.write_text(good + "# another\n")
        wait_for("both", lambda: all(roll_overs(space, n) == before[n] + 1 for n in before))
        settle(space)
        assert {n: roll_overs(space, n) for n in before} == {n: before[n] + 1 for n in before}
        edited = {n: template_of(space.wait("Deployment", n)) for n in before}
    # The old script makes the old template again, and with it the old ReplicaSet.
    wait_for("the way back", lambda: all(template_of(space.wait("Deployment", n)) != edited[n] for n in before))
    settle(space)
    assert {n: roll_overs(space, n) for n in before} == {n: before[n] + 1 for n in before}


def test_what_cannot_be_reinjected_is_an_event(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    obj = workload("Deployment", "x", "a")
    template_of(obj)["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/tmp/sockets"}]
    template_of(obj)["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    space.apply(obj)
    space.apply(actor("a", socket={"path": "/tmp/sockets/app.sock"}))

    def told() -> list[str]:
        return [e["message"] for e in space.all("Event") if e["reason"] == "InjectionDenied"]

    (message,) = wait_for("the event", told)
    assert "/tmp/sockets is taken by the volume 'data'" in message
    wait_for("the count", lambda: (space.get("AsyncActor", "a") or {})["status"]["outdatedWorkloads"] == 1)
    assert "/var/run/asya" in str(template_of(space.wait("Deployment", "x")))


# -- other writers -------------------------------------------------------------------------------


def client_side_apply(space: Space, last: Object, manifest: Object) -> None:
    """What kubectl and Helm send: a strategic merge patch of what the manifest says."""
    del last
    space.client.request(
        "PATCH",
        BY_KIND["Deployment"].path(space.name, "x"),
        body={"metadata": manifest["metadata"], "spec": manifest["spec"]},
        content_type="application/strategic-merge-patch+json",
    )


def server_side_apply(space: Space, last: Object, manifest: Object) -> None:
    space.apply(manifest, "argocd-controller")


def replace(space: Space, last: Object, manifest: Object) -> None:
    """``kubectl replace``, or Argo CD with Replace=true: the whole uninjected object."""
    live = space.wait("Deployment", "x")
    body = space.here(manifest)
    body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    space.client.request("PUT", BY_KIND["Deployment"].path(space.name, "x"), body=body)


@pytest.mark.parametrize("sync", [client_side_apply, server_side_apply, replace])
def test_a_re_sync_of_the_uninjected_manifest_never_rolls_over(
    space: Space, sync: Callable[[Space, Object, Object], None]
) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    manifest = workload("Deployment", "x", "a")
    space.apply(manifest, "argocd-controller")
    wait_for("the roll-out", lambda: space.wait("Deployment", "x")["status"].get("availableReplicas") == 2)
    settle(space)
    before = template_of(space.wait("Deployment", "x"))
    for _ in range(5):
        sync(space, manifest, manifest)
        time.sleep(0.2)
    settle(space)
    assert template_of(space.wait("Deployment", "x")) == before
    assert roll_overs(space, "x") == 1
    changed = workload("Deployment", "x", "a", image="app:2")
    sync(space, manifest, changed)
    wait_for("the roll-out", lambda: roll_overs(space, "x") == 2)
    assert containers(space.wait("Deployment", "x")) == ["sidecar", "app"]


def test_threads_that_label_and_unlabel_end_as_the_last_one_said(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    space.apply(workload("Deployment", "x"))

    def flip() -> None:
        for value in ("a", None, "a", None, "a"):
            label(space, "Deployment", "x", value)

    flippers = [threading.Thread(target=flip) for _ in range(3)]
    for flipper in flippers:
        flipper.start()
    for flipper in flippers:
        flipper.join()
    label(space, "Deployment", "x", None)
    settle(space)
    assert template_of(space.wait("Deployment", "x"))["spec"]["containers"][0]["name"] == "app"
    assert "asya.io/injected" not in str(space.wait("Deployment", "x")["spec"])
