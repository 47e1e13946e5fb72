"""`helm uninstall` keeps running pods and leaves nothing in the operator's namespace. A reinstall finds them."""

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kube.failures import ApiError
from kube.resources import CONFIG_MAPS, DEPLOYMENTS, JOBS, LEASES, SECRETS, Resource
from tests.cluster.labelling import label, workload
from tests.cluster.watching import ready
from tests.harness.operator import WEBHOOKS, install_keda
from tests.harness.release import NAMESPACE, SERVICE_ACCOUNTS, Release
from tests.harness.space import Space, actor, containers, example

pytestmark = pytest.mark.best_tier

ROLES = Resource("rbac.authorization.k8s.io/v1", "Role", "roles")
KINDS = (CONFIG_MAPS, DEPLOYMENTS, JOBS, LEASES, SECRETS, SERVICE_ACCOUNTS, ROLES)


def left(release: Release) -> list[str]:
    """Objects in the operator's namespace, without those that Kubernetes or OpenShift create in each namespace."""
    names = (f"{kind.kind}/{obj['metadata']['name']}" for kind in KINDS for obj in release.client.list(kind, NAMESPACE))
    return [name for name in names if not name.endswith(("kube-root-ca.crt", "openshift-service-ca.crt", "/default"))]


class Creating:
    """Creates labelled pods, and records refusals."""

    def __init__(self, space: Space, actor_name: str) -> None:
        self._space, self._actor, self._stop = space, actor_name, threading.Event()
        self.outcomes: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        for n in itertools.count():
            start_time = time.monotonic()
            try:
                made = self._space.create_object(workload("Pod", f"pod-{n}", self._actor))
                outcome = "injected" if containers_of(made)[0] == "sidecar" else "plain"
            except ApiError:
                outcome = "refused"
            self.outcomes.append((start_time, outcome))
            if self._stop.wait(0.1):
                return

    @contextmanager
    def running(self) -> Iterator["Creating"]:
        """Create pods while the block runs."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join(20)

    def refused(self, since: float = 0.0) -> float:
        """The longest time in seconds in which every pod was refused."""
        longest, began = 0.0, None
        for when, outcome in self.outcomes:
            began = None if outcome != "refused" or when < since else (began or when)
            longest = max(longest, when - began if began else 0.0)
        return longest


def containers_of(pod: dict[str, object]) -> list[str]:
    """Names of a pod's containers."""
    spec = pod["spec"]
    assert isinstance(spec, dict)
    return [c["name"] for c in spec["containers"]]


def test_install_and_apply_at_once_and_uninstall_and_install_again(release: Release, place: Space) -> None:
    install_keda(release.client)
    release.install()
    place.apply(example("rabbitmq-deployment"))  # before any process runs
    release.start_controller()
    release.start_webhook()
    ready(place, "text-processor")
    place.apply(workload("Deployment", "x", "text-processor"))
    assert containers(place.wait("Deployment", "x")) == ["sidecar", "app"]
    release.uninstall()
    if release.cluster.real:  # the sandbox runs no hooks
        assert left(release) == []
    release.stop(signal.SIGTERM)
    for kind in WEBHOOKS.values():
        assert release.client.get(kind, "", "asya-operator") is None
    assert place.get("ConfigMap", "asya-runtime"), "pods of this namespace mount it"
    second = Release(release.cluster, release.directory / "again")
    try:
        with Creating(place, "text-processor").running() as creating:
            time.sleep(1.5)
            assert {outcome for _, outcome in creating.outcomes} == {"plain"}
            assert place.get("AsyncActor", "text-processor"), "the CRD and the actors must stay"
            assert containers(place.wait("Deployment", "x")) == ["sidecar", "app"], "running pods must stay"
            second.start()
            is_ready = time.monotonic()
            time.sleep(2)
        print(f"reinstall: refused for {creating.refused():.1f} s, once ready for {creating.refused(is_ready):.1f} s")
        assert creating.refused(is_ready) == 0.0
        assert creating.refused() < 30, "pods were refused for longer than the start of both processes"
        assert creating.outcomes[-1][1] == "injected"
        place.apply(actor("b"))
        ready(place, "b")
        assert place.wait("Deployment", "x")["metadata"]["generation"] <= 3
    finally:
        second.stop()


def test_labels_can_be_removed_by_hand_without_the_operator(release: Release, place: Space) -> None:
    """Running pods do not depend on the operator."""
    release.start(webhooks=1)
    place.apply(actor("a"))
    ready(place, "a")
    place.apply(workload("Deployment", "x", "a"))
    release.helm.run("uninstall", "asya-operator", "--no-hooks")
    time.sleep(1.5)
    label(place, "Deployment", "x", None)
    assert place.wait("Deployment", "x")["metadata"].get("labels", {}).get("asya.io/actor") is None
