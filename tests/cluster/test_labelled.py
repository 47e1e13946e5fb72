"""Labels on existing workloads: injection, re-injection, un-injection and borrowing, with the number of rollouts."""

import copy
import threading
import time
from collections.abc import Callable

import pytest

from kube.objects import Object
from tests.cluster.labelling import LABEL, label, rollout_count, sidecar_of, template_of, workload
from tests.cluster.watching import ready, settle
from tests.harness.clusters import wait_for
from tests.harness.operator import Operator
from tests.harness.space import BY_KIND, Space, actor, containers

# -- label, unlabel, relabel ---------------------------------------------------------------------


NATIVE = pytest.mark.needs_kubernetes(1, 29)
"""For Jobs, whose sidecar must be a native sidecar."""


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", pytest.param("CronJob", marks=NATIVE)])
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
    # An edit in between stays.
    edited = copy.deepcopy(template_of(labelled)["spec"]["containers"])
    next(c for c in edited if c["name"] == "app")["image"] = "app:2"
    path: Object = {"template": {"spec": {"containers": edited}}}
    space.patch(kind, "x", {"spec": {"jobTemplate": {"spec": path}} if kind == "CronJob" else path})
    unlabelled = label(space, kind, "x", None)
    expected = copy.deepcopy(template_of(before))
    expected["spec"]["containers"][0]["image"] = "app:2"
    assert template_of(unlabelled) == expected
    assert unlabelled["metadata"]["generation"] == before["metadata"]["generation"] + 3


@pytest.mark.parametrize("kind", [pytest.param("Job", marks=NATIVE), "Pod"])
def test_jobs_and_pods_are_injected_when_they_are_created(space: Space, kind: str) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    made = space.create_object(workload(kind, "x", "a"))
    sidecar = sidecar_of(made)
    assert sidecar
    assert sidecar.get("restartPolicy") == ("Always" if kind == "Job" else None)


def test_labelling_a_deployment_starts_one_rollout_and_relabelling_another(space: Space) -> None:
    space.apply(actor("a"))
    space.apply(actor("b", socket={"path": "/tmp/sockets/b.sock"}))
    ready(space, "a")
    ready(space, "b")
    space.apply(workload("Deployment", "x"))
    wait_for("the first ReplicaSet", lambda: rollout_count(space, "x") == 1)
    label(space, "Deployment", "x", "a")
    wait_for("the second", lambda: rollout_count(space, "x") == 2)
    settle(space)
    relabelled = label(space, "Deployment", "x", "b")
    wait_for("the third", lambda: rollout_count(space, "x") == 3)
    settle(space)
    assert rollout_count(space, "x") == 3
    label(space, "Deployment", "x", None)
    labelled = space.apply(workload("Deployment", "y", "b"))
    first_template, second_template = (copy.deepcopy(template_of(o)) for o in (relabelled, labelled))
    for template in (first_template, second_template):
        template["metadata"]["labels"].pop("app")
    assert first_template == second_template, "a part of the first actor remains"


def test_a_label_in_the_template_alone_injects_the_pods_and_not_the_object(space: Space) -> None:
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
    message = space.warnings(workload("Deployment", "x", "a"))
    assert any("there is no AsyncActor 'a'" in w for w in message)
    space.apply(workload("Deployment", "x", "a"))
    assert containers(space.wait("Deployment", "x")) == ["app"]
    space.apply(actor("a"))
    wait_for("the sidecar", lambda: containers(space.wait("Deployment", "x")) == ["sidecar", "app"])


def test_the_namespace_of_a_labelled_workload_has_the_script(space: Space) -> None:
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


def test_opting_out_removes_the_sidecar(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    space.apply(workload("Deployment", "x", "a"))
    out = space.patch("Deployment", "x", {"metadata": {"annotations": {"asya.io/inject": "disabled"}}})
    assert containers(out) == ["app"]
    time.sleep(1)
    assert containers(space.wait("Deployment", "x")) == ["app"]


# -- re-injection --------------------------------------------------------------------------------


@pytest.mark.needs_kubernetes(1, 29)
def test_a_change_of_the_actor_reaches_every_labelled_workload_once(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    kinds = ("Deployment", "StatefulSet", "DaemonSet", "CronJob")
    generations = {kind: space.apply(workload(kind, "x", "a"))["metadata"]["generation"] for kind in kinds}
    wait_for("the rollout", lambda: space.wait("Deployment", "x")["status"].get("availableReplicas") == 2)
    before = rollout_count(space, "x")
    generations["Deployment"] = space.wait("Deployment", "x")["metadata"]["generation"]
    space.apply(actor("a", timeout={"processing": 123}))
    for kind in kinds:
        wait_for(f"the {kind}", lambda kind=kind: "123s" in str(template_of(space.wait(kind, "x"))))  # type: ignore[misc]
    wait_for("nothing left to do", lambda: (space.get("AsyncActor", "a") or {})["status"]["outdatedWorkloads"] == 0)
    settle(space)
    for kind in ("StatefulSet", "DaemonSet", "CronJob"):
        assert space.wait(kind, "x")["metadata"]["generation"] == generations[kind] + 1, kind
    assert rollout_count(space, "x") == before + 1


def test_a_change_of_the_script_starts_one_rollout_of_each_workload(space: Space, operator: Operator) -> None:
    space.apply(actor("a"))
    space.apply(workload("Deployment", "x", "a"))
    ready(space, "a")
    wait_for("the sidecar", lambda: containers(space.wait("Deployment", "x")) == ["sidecar", "app"])
    settle(space)
    before = {name: rollout_count(space, name) for name in ("a", "x")}
    with operator.edited_script() as good:
        operator.script.write_text(good + "# another\n")
        wait_for("both", lambda: all(rollout_count(space, n) == before[n] + 1 for n in before))
        settle(space)
        assert {n: rollout_count(space, n) for n in before} == {n: before[n] + 1 for n in before}
        edited = {n: template_of(space.wait("Deployment", n)) for n in before}
    # The old script gives the old template, and so the old ReplicaSet.
    wait_for("the way back", lambda: all(template_of(space.wait("Deployment", n)) != edited[n] for n in before))
    settle(space)
    assert {n: rollout_count(space, n) for n in before} == {n: before[n] + 1 for n in before}


def test_a_failed_reinjection_is_an_event(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    obj = workload("Deployment", "x", "a")
    template_of(obj)["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/tmp/sockets"}]
    template_of(obj)["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    space.apply(obj)
    space.apply(actor("a", socket={"path": "/tmp/sockets/app.sock"}))

    def messages() -> list[str]:
        return [e["message"] for e in space.all("Event") if e["reason"] == "InjectionDenied"]

    (message,) = wait_for("the event", messages)
    assert "/tmp/sockets is taken by the volume 'data'" in message
    wait_for("the count", lambda: (space.get("AsyncActor", "a") or {})["status"]["outdatedWorkloads"] == 1)
    assert "/var/run/asya" in str(template_of(space.wait("Deployment", "x")))


# -- other writers -------------------------------------------------------------------------------


def client_side_apply(space: Space, last: Object, manifest: Object) -> None:
    """Apply as kubectl and Helm do: with a strategic merge patch of the fields in the manifest."""
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
    """Replace the whole object by the uninjected one, as ``kubectl replace`` and Argo CD with Replace=true do."""
    space.wait("Deployment", "x")
    # Without a resourceVersion the update is unconditional, so a status that changes meanwhile is no conflict.
    space.client.request("PUT", BY_KIND["Deployment"].path(space.name, "x"), body=space.here(manifest))


@pytest.mark.parametrize("sync", [client_side_apply, server_side_apply, replace])
def test_applying_the_uninjected_manifest_again_starts_no_rollout(
    space: Space, sync: Callable[[Space, Object, Object], None]
) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    manifest = workload("Deployment", "x", "a")
    space.apply(manifest, "argocd-controller")
    wait_for("the rollout", lambda: space.wait("Deployment", "x")["status"].get("availableReplicas") == 2)
    settle(space)
    before = template_of(space.wait("Deployment", "x"))
    for _ in range(5):
        sync(space, manifest, manifest)
        time.sleep(0.2)
    settle(space)
    assert template_of(space.wait("Deployment", "x")) == before
    assert rollout_count(space, "x") == 1
    changed = workload("Deployment", "x", "a", image="app:2")
    sync(space, manifest, changed)
    wait_for("the rollout", lambda: rollout_count(space, "x") == 2)
    assert containers(space.wait("Deployment", "x")) == ["sidecar", "app"]


def test_concurrent_labelling_and_unlabelling_ends_in_the_last_state(space: Space) -> None:
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
