"""The output of ``explain`` for different actors."""

from typing import Any

from cli.explain import Story, lines
from crds.parse import parse_actor
from injection.inject import inject
from injection.plan import make_plan
from injection.settings import SidecarDefaults
from kube.objects import Object
from tests.harness.space import actor


def stored(**status: Any) -> Object:
    """An actor as the API server stores it."""
    obj = actor("a")
    return {**obj, "metadata": {"name": "a", "namespace": "x", "uid": "u"}, "status": status}


def workload(kind: str, *, injected: bool = True, name: str = "runtime", **metadata: Any) -> Object:
    """A workload with the label."""
    container = {"name": name, "image": "app:1", "env": [{"name": "ASYA_SOCKET_DIR", "value": "/mine"}]}
    template: Object = {"metadata": {}, "spec": {"containers": [container]}}
    if injected:
        plan = make_plan(parse_actor({**stored(), "status": None}), SidecarDefaults())
        template = inject(template, plan, job=kind == "Job")
    owner = [{"controller": True, "uid": "u", "kind": "AsyncActor", "name": "a"}]
    labels = {"labels": {"asya.io/actor": "a"}, "ownerReferences": owner}
    return {"kind": kind, "metadata": {"name": "w", **labels, **metadata}, "spec": {"template": template}}


def explained(*workloads: Object, **status: Any) -> str:
    """The whole output."""
    return "\n".join(lines(Story(stored(**status), list(workloads))))


def test_an_actor_that_the_controller_has_not_processed() -> None:
    text = explained()
    assert "not processed by the controller yet" in text
    assert "none yet" in text
    assert "asya-operator doctor" in text


def test_replaced_and_added_variables_have_different_marks() -> None:
    text = explained(workload("Deployment"))
    assert "= variable ASYA_SOCKET_DIR=/var/run/asya" in text
    assert "+ variable ASYA_SOCKET_PATH=/var/run/asya/asya-runtime.sock" in text
    assert "in container runtime (by its name" in text
    assert "in container app (the only one" in explained(workload("Deployment", name="app"))


def test_the_sidecar_of_a_job_is_the_first_init_container() -> None:
    assert "+ container sidecar (first of initContainers" in explained(workload("Job"))


def test_the_reason_for_no_injection_is_printed() -> None:
    plain = workload("Deployment", injected=False)
    assert "admission has not injected it" in explained(plain)
    opted_out = workload("Deployment", injected=False, annotations={"asya.io/inject": "disabled"})
    assert "asya.io/inject turns injection off" in explained(opted_out)
    assert "does not have the label" in explained(workload("Deployment", injected=False, labels={}))


def test_the_owner_of_a_workload_is_printed() -> None:
    assert "Deployment w: created for this actor" in explained(workload("Deployment"))
    assert "Deployment w: not created by the operator, has the label" in explained(
        workload("Deployment", ownerReferences=[])
    )


def test_problems_are_printed_without_their_sum() -> None:
    wrong = {"type": "WorkloadReady", "status": "False", "reason": "ImagePullError", "message": "Check the image"}
    overall = {**wrong, "type": "Ready"}
    text = explained(conditions=[wrong, overall], phase="ImagePullError")
    assert text.startswith("AsyncActor x/a: ImagePullError\n")
    assert text.count("Check the image") == 1
    good = {"type": "WorkloadReady", "status": "True", "reason": "WorkloadCreated", "message": ""}
    assert explained(conditions=[good], phase="Running").endswith("No problems")


def test_warnings_of_admission_are_printed() -> None:
    unwise = "spec.timeout.gracefulShutdown: too short"
    text = explained(warnings=[unwise], observedGeneration=None)
    assert f"Warnings\n  {unwise}" in text
    stale = explained(warnings=[unwise], observedGeneration=7)
    assert unwise not in stale
    assert "resources.limits: not set" in stale, "computed here if the controller has not processed this generation"


def test_the_queue_and_its_binding_are_explained() -> None:
    text = explained()
    assert "the sidecar consumes the queue 'asya-x-a'" in text
    assert "The exchange 'asya' sends messages to it by a binding with the routing key 'a'" in text
    assert "The cluster cannot show bindings" in text
    mismatch = {"type": "QueueConsumed", "status": "False", "reason": "QueueMismatch", "message": "orders, not asya"}
    assert explained(conditions=[mismatch], observedGeneration=None).count("orders, not asya") == 2


def test_paused_scaling_is_reported() -> None:
    paused = {"type": "ScalingReady", "status": "True", "reason": "ScalingPaused", "message": "an annotation pauses it"}
    assert "an annotation pauses it" in explained(conditions=[paused], phase="Paused")
