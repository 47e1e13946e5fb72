"""Every change that replaces pods waits for a place: upgrades, changed actors, Jobs and ScaledJobs."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from controller.rules import desired
from controller.rules.rolling import is_rolled_out
from crds.names import OPERATOR
from crds.parse import parse_actor
from kube.objects import Object
from kube.resources import DEPLOYMENTS
from tests.cluster.labelling import template_of
from tests.cluster.watching import ready
from tests.harness.clusters import wait_for
from tests.harness.history import History
from tests.harness.operator import Operator
from tests.harness.space import Space, actor

PLACES = 5
BEFORE = "example.com/before"
"""Label on objects of an operator before this one."""


@pytest.fixture(scope="module", autouse=True)
def few_places(_operator: Operator) -> Iterator[None]:
    """An operator that allows a few rollouts at a time."""
    _operator.heal()
    _operator.environment["ASYA_REINJECTION_PARALLEL"] = str(PLACES)
    _operator.restart_controller()
    yield
    del _operator.environment["ASYA_REINJECTION_PARALLEL"]
    _operator.restart_controller()


def most_at_once(history: list[Object], is_new: Any) -> int:
    """The largest number of concurrent rollouts, among the workloads that a change has reached."""
    rolling: dict[str, bool] = {}
    most = 0
    for obj in history:
        rolling[obj["metadata"]["name"]] = is_new(obj) and not is_rolled_out(obj)
        most = max(most, sum(rolling.values()))
    return most


def labels_of(obj: Object) -> Any:
    return (template_of(obj).get("metadata") or {}).get("labels") or {}


# -- upgrades ------------------------------------------------------------------------------------


def as_before(obj: Object, *, template: bool) -> Object:
    """The workload of an actor from an older operator that labels workloads, or also their templates, differently."""
    old_workload = copy.deepcopy(desired.workload(parse_actor(obj), keda=False))
    for labels in (old_workload["metadata"]["labels"], *([labels_of(old_workload)] if template else [])):
        labels[BEFORE] = "yes"
    return desired.with_digest(old_workload)


def test_an_upgrade_that_changes_metadata_of_all_workloads_rolls_out_a_few_at_a_time(
    space: Space, operator: Operator
) -> None:
    count, relabelled = 20, 2
    names = [f"a{n}" for n in range(count)]
    others = [f"b{n}" for n in range(relabelled)]
    for name in (*names, *others):
        space.apply(actor(name))
    for name in (*names, *others):
        ready(space, name)
    operator.stop_controllers()
    for name in (*names, *others):
        live = space.get("AsyncActor", name)
        assert live is not None
        space.client.apply(DEPLOYMENTS, as_before(live, template=name in names), manager=OPERATOR)
    wait_for("all to run", lambda: all(is_rolled_out(d) for d in space.all("Deployment")))
    sets = {r["metadata"]["name"] for r in space.all("ReplicaSet")}
    before = {d["metadata"]["name"]: d["metadata"]["generation"] for d in space.all("Deployment")}
    history = History(space, "Deployment")
    operator.start_controller()

    def is_new(obj: Object) -> bool:
        return BEFORE not in obj["metadata"]["labels"] and BEFORE not in labels_of(obj)

    wait_for("all", lambda: all(is_new(d) and is_rolled_out(d) for d in space.all("Deployment")))
    assert 1 <= most_at_once([v for v in history.stop() if v["metadata"]["name"] in names], is_new) <= PLACES
    after = {d["metadata"]["name"]: d["metadata"]["generation"] for d in space.all("Deployment")}
    assert {after[name] - before[name] for name in names} == {1}, "a workload was written more than once"
    replica_sets = {r["metadata"]["name"] for r in space.all("ReplicaSet")}
    assert replica_sets == sets, "a change of workload labels alone must replace no pods"


# -- changed actors ------------------------------------------------------------------------------


@pytest.mark.only("kube-apiserver")
def test_changed_actors_roll_out_a_few_at_a_time(space: Space) -> None:
    count = 9
    for n in range(count):
        space.apply(actor(f"a{n}"))
    for n in range(count):
        ready(space, f"a{n}")
    wait_for("all to run", lambda: all(is_rolled_out(d) for d in space.all("Deployment")))
    history = History(space, "Deployment")
    for n in range(count):
        changed = actor(f"a{n}")
        changed["spec"]["workload"]["template"]["metadata"] = {"labels": {"team": "b"}}
        space.apply(changed)

    def is_new(obj: Object) -> bool:
        return bool(labels_of(obj).get("team") == "b")

    wait_for("all", lambda: all(is_rolled_out(d) and is_new(d) for d in space.all("Deployment")))
    assert 1 <= most_at_once(history.stop(), is_new) <= PLACES
    assert len(space.all("ReplicaSet")) == 2 * count


def job_actor(name: str, **spec: Any) -> Object:
    obj = actor(name, **spec)
    obj["spec"]["workload"]["type"] = "Job"
    return obj


@pytest.mark.only("kube-apiserver")
@pytest.mark.needs_kubernetes(1, 29)
def test_running_jobs_are_replaced_a_few_at_a_time(space: Space) -> None:
    names = [f"a{n}" for n in range(2 * PLACES)]
    for name in names:
        space.apply(job_actor(name))
    for name in names:
        ready(space, name)
    history = History(space, "Job")
    first = {job["metadata"]["uid"] for job in space.all("Job")}
    for name in names:
        space.apply(job_actor(name, timeout={"processing": 77}))
    for name in names:
        ready(space, name)
    wait_for("all", lambda: all(is_rolled_out(j) and j["metadata"]["uid"] not in first for j in space.all("Job")))
    away: set[str] = set()
    most = 0
    for version in history.stop():
        is_old = version["metadata"]["uid"] in first
        going = version.get("deleted") or version["metadata"].get("deletionTimestamp")
        if (is_old and going) or (not is_old and not is_rolled_out(version)):
            away.add(version["metadata"]["name"])
        else:
            away.discard(version["metadata"]["name"])
        most = max(most, len(away))
    assert 1 <= most <= PLACES


@pytest.mark.only("kube-apiserver")
@pytest.mark.needs_kubernetes(1, 29)
def test_scaled_jobs_whose_running_jobs_are_deleted_change_a_few_at_a_time(space: Space) -> None:
    names = [f"a{n}" for n in range(PLACES + 2)]

    def apply(processing: int) -> None:
        for name in names:
            job = {"rollout": "immediate"}
            timeout = {"processing": processing}
            space.apply(job_actor(name, scaling={"enabled": True, "job": job}, timeout=timeout))

    apply(60)
    for name in names:
        ready(space, name)
        space.create_object(made_by_keda(space.wait("ScaledJob", name)))
    wait_for("the Jobs to run", lambda: all(is_rolled_out(job) for job in space.all("Job")))
    before = {s["metadata"]["name"]: s["metadata"]["generation"] for s in space.all("ScaledJob")}

    def changed() -> list[str]:
        return [
            o["metadata"]["name"]
            for o in space.all("ScaledJob")
            if o["metadata"]["generation"] > before[o["metadata"]["name"]]
        ]

    apply(77)
    wait_for("as many as may", lambda: len(changed()) == PLACES)
    waiting = next(name for name in names if name not in changed())
    space.wait_condition(waiting, "WorkloadReady", "Unknown", "WaitingForRollouts")
    assert len(changed()) == PLACES
    for name in changed():  # KEDA deletes them
        space.delete("Job", f"{name}-1")
    wait_for("all", lambda: len(changed()) == len(names))


def made_by_keda(scaled_job: Object) -> Object:
    metadata, kind = scaled_job["metadata"], {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob"}
    owner = {**kind, "name": metadata["name"], "uid": metadata["uid"], "controller": True, "blockOwnerDeletion": True}
    made = {
        "name": f"{metadata['name']}-1",
        "labels": metadata["labels"],
        "annotations": {"scaledjob.keda.sh/generation": str(metadata["generation"])},
        "ownerReferences": [owner],
    }
    template = scaled_job["spec"]["jobTargetRef"]["template"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": made, "spec": {"template": template}}


# -- another kind or name ------------------------------------------------------------------------


@pytest.mark.only("kube-apiserver")
@pytest.mark.parametrize("workload", [{"type": "StatefulSet"}, {"name": "other"}], ids=["kind", "name"])
def test_the_old_workload_stays_until_the_pods_of_the_new_one_are_ready(space: Space, workload: dict[str, str]) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    changed = actor("a")
    changed["spec"]["workload"] |= workload
    image = changed["spec"]["workload"]["template"]["spec"]["containers"][0]
    image["image"] = "broken:1"
    space.apply(changed)
    kind, name = workload.get("type", "Deployment"), workload.get("name", "a")
    message = wait_for(
        "word of it", lambda: _message(space, "the earlier Deployment 'a' is deleted when the new pods are ready")
    )
    assert f"the {kind} {name!r} exists as desired" in message
    assert is_rolled_out({"kind": "Deployment", **space.wait("Deployment", "a")})
    image["image"] = "python:3.13"
    space.apply(changed)
    if kind == "StatefulSet":  # with this strategy, a StatefulSet never replaces a broken pod by itself
        wait_for("the change", lambda: "python:3.13" in str(space.get(kind, name)))
        space.delete("Pod", f"{name}-0")
    space.wait_gone("Deployment", "a")
    assert is_rolled_out({"kind": kind, **space.wait(kind, name)})
    ready(space, "a")
    assert "before it" not in space.condition("a", "WorkloadReady")["message"]


def _message(space: Space, part: str) -> str:
    message = str(space.condition("a", "WorkloadReady")["message"])
    return message if part in message else ""
