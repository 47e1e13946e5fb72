"""The operator writes nothing at rest, whatever is wrong. All situations run at the same time in one window.

The controller reaches the API server through a proxy, which sees the path of each request. The path of a write names
its object. A re-admission counts as a write, although it changes nothing.
"""

import copy
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from kube.failures import ApiError
from kube.resources import ASYNC_ACTORS, MUTATING_WEBHOOKS
from release.binaries import binary
from tests.chaos import FULL
from tests.chaos.proxy import Proxy
from tests.cluster.labelling import sidecar_of, template_of, workload
from tests.cluster.test_cohabitation import mirror_images
from tests.cluster.watching import ready, settle
from tests.harness.clusters import Cluster, wait_for
from tests.harness.injector import injector
from tests.harness.operator import NAMESPACE, WEBHOOK_CONFIGURATION_SECONDS, Operator, install_keda, uninstall_keda
from tests.harness.space import Space, actor

REST_SECONDS = 60.0 if FULL else 15.0
"""``make chaos`` watches for a whole minute."""
PATIENCE = 240.0 if FULL else 90.0
"""Objects that do not converge are tried again after 1, 3, 9, 27 and 81 seconds. Both windows fit between two tries."""

Prepared = tuple[str, Callable[[], bool]]
"""Each situation: how to create it, and a probe that tells when it exists."""
SITUATIONS: list[Callable[[Space, Cluster, ExitStack], Prepared]] = []


def situation(make: Callable[[Space, Cluster, ExitStack], Prepared]) -> Callable[[Space, Cluster, ExitStack], Prepared]:
    SITUATIONS.append(make)
    return make


def says(space: Space, name: str, reason: str, condition: str = "WorkloadReady") -> Prepared:
    return f"{name}: {reason}", lambda: bool(space.condition(name, condition)["reason"] == reason)


def warned(space: Space, reason: str, about: str) -> Prepared:
    def probe() -> bool:
        return any(e["reason"] == reason and about in str(e) for e in space.all("Event"))

    return f"an Event {reason} about {about}", probe


# -- the situations ------------------------------------------------------------------------------


@situation
def an_orphan(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    space.apply(actor("orphan", scaling={"enabled": True, "minReplicas": 1}))
    ready(space, "orphan")
    path = ASYNC_ACTORS.path(space.name, "orphan")

    def orphaned() -> bool:
        if space.get("AsyncActor", "orphan") is not None:
            space.client.request("DELETE", path, body={"propagationPolicy": "Orphan"})
            return False
        return sidecar_of({"kind": "Deployment", **(space.get("Deployment", "orphan") or {})}) is not None

    return "the orphan is there without its actor", orphaned


@situation
def an_excluded_namespace(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    other = stack.enter_context(Space.create(space.client, f"{space.name}-excluded"))
    hook = space.client.get(MUTATING_WEBHOOKS, "", "asya-operator")
    assert hook is not None
    webhooks = copy.deepcopy(hook["webhooks"])
    webhooks[0]["namespaceSelector"]["matchExpressions"][0]["values"].append(other.name)
    space.client.merge_patch(MUTATING_WEBHOOKS, "", "asya-operator", {"webhooks": webhooks})
    time.sleep(WEBHOOK_CONFIGURATION_SECONDS)
    other.apply(actor("a"))
    other.apply(workload("Deployment", "x", "a"))
    return warned(other, "NotInjected", "'x'")


@situation
def a_foreign_script_in_the_actors_namespace(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    other = stack.enter_context(Space.create(space.client, f"{space.name}-foreign"))
    other.create_object(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "asya-runtime"}, "data": {"a": "b"}}
    )
    other.apply(actor("a"))
    return says(other, "a", "ConfigMapNotOwned", "RuntimeReady")


@situation
def a_template_that_opts_out(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    obj = actor("out")
    obj["spec"]["workload"]["template"]["metadata"] = {"annotations": {"asya.io/inject": "disabled"}}
    space.apply(obj)
    return says(space, "out", "OptedOut")


@situation
def a_workload_that_others_scale(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    space.apply(actor("scaled"))
    space.wait("Deployment", "scaled")
    space.scale("Deployment", "scaled", 2)
    if cluster.real:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"}
        spec = {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 6}
        metadata = {"name": "scaled", "namespace": space.name}
        kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
        path = f"/apis/autoscaling/v2/namespaces/{space.name}/horizontalpodautoscalers"
        space.client.request("POST", path, body={**kind, "metadata": metadata, "spec": spec})
    count = 3 if cluster.real else 2
    return f"{count} replicas", lambda: bool(space.wait("Deployment", "scaled")["spec"]["replicas"] == count)


@situation
def a_stuck_deletion(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    space.apply(workload("Deployment", "held", "stuck"))
    space.apply(actor("stuck", workload={"name": "held"}, scaling={"enabled": True}))
    ready(space, "stuck")
    space.wait("ScaledObject", "stuck")
    space.patch("ScaledObject", "stuck", {"metadata": {"finalizers": ["finalizer.keda.sh/x"]}})
    stack.callback(lambda: remove_finalizer(space))
    space.delete("AsyncActor", "stuck")
    return says(space, "stuck", "DeletionBlocked", "Ready")


def remove_finalizer(space: Space) -> None:
    if space.get("ScaledObject", "stuck") is not None:
        space.patch("ScaledObject", "stuck", {"metadata": {"finalizers": None}})
    space.wait_gone("AsyncActor", "stuck")


@situation
def a_record_of_an_unknown_version(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    space.apply(actor("known"))
    ready(space, "known")
    made = space.apply(workload("Deployment", "unknown", "known"))
    record = template_of(made)["metadata"]["annotations"]["asya.io/injected"]
    later = re.sub(r'"version":\d+', '"version":99', record)
    space.patch(
        "Deployment", "unknown", {"spec": {"template": {"metadata": {"annotations": {"asya.io/injected": later}}}}}
    )
    # The plan differs from the record's. The operator must not change the workload.
    space.apply(actor("known", timeout={"processing": 77}))

    def is_as_it_was() -> bool:
        obj = space.wait("Deployment", "unknown")
        return "77s" in str(space.get("Deployment", "known")) and "77s" not in str(obj) and later in str(obj)

    return "it is as it was", is_as_it_was


@situation
def another_image_for_the_sidecar(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    space.apply(actor("edited"))
    ready(space, "edited")
    command = [str(binary("kubectl")), "--kubeconfig", str(cluster.kubeconfig), "--namespace", space.name]
    completed = subprocess.run(
        [*command, "set", "image", "deployment/edited", "sidecar=other:9"], capture_output=True, text=True, timeout=60
    )
    assert "was reverted" in completed.stderr, completed.stderr
    return "the image is the operator's", lambda: "other:9" not in str(space.wait("Deployment", "edited")["spec"])


@situation
def a_refused_name(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    obj = actor("n" * 60)
    obj["spec"]["workload"]["type"] = "StatefulSet"
    assert "52" in space.refused(obj)
    return "there is no such actor", lambda: space.get("AsyncActor", "n" * 60) is None


@situation
def two_containers(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    space.apply(workload("Deployment", "two", "known"))
    extra = [{"name": n, "image": "app:1"} for n in ("one", "two")]
    with pytest.raises(ApiError, match=r"spec\.template\.spec\.containers"):
        space.patch("Deployment", "two", {"spec": {"template": {"spec": {"containers": extra}}}})
    obj = workload("Deployment", "early", "late")
    template_of(obj)["spec"]["containers"] = extra
    space.apply(obj)  # before its actor, so that admission does not check it
    space.apply(actor("late"))
    return warned(space, "InjectionDenied", "'early'")


@situation
def a_template_that_the_api_server_refuses(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    obj = actor("wrong")
    obj["spec"]["workload"]["template"]["metadata"] = {"labels": {"app": "not a label's value!"}}
    space.apply(obj)
    return says(space, "wrong", "InvalidWorkload") if cluster.real else ("it is applied", lambda: True)


@situation
def a_template_of_the_wrong_type(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    obj = actor("typed")
    obj["spec"]["workload"]["template"]["spec"]["dnsConfig"] = {"searches": "a word, not a list"}
    space.apply(obj)
    return says(space, "typed", "InvalidWorkload") if cluster.real else ("it is applied", lambda: True)


@situation
def a_workload_of_another_owner(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    space.apply(workload("Deployment", "theirs"))
    space.apply(actor("theirs"))
    return says(space, "theirs", "WorkloadNotOwned")


@situation
def a_label_that_names_no_actor(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    space.apply(workload("Deployment", "waits", "nobody"))
    return warned(space, "NoSuchAsyncActor", "'nobody'")


@situation
def a_mirror_of_images(space: Space, cluster: Cluster, stack: ExitStack) -> Prepared:
    other = stack.enter_context(Space.create(space.client, f"{space.name}-mirror"))
    other.apply(actor("a"))
    other.apply(workload("Deployment", "x", "a"))
    ready(other, "a")
    stack.enter_context(injector(space.client, "zzz-mirror", other.name, mirror_images))
    time.sleep(WEBHOOK_CONFIGURATION_SECONDS)
    other.apply(actor("a", timeout={"processing": 77}))

    def mirrored() -> bool:
        objects = other.all("Deployment")
        return len(objects) == 2 and all("77s" in str(d) and "mirror/" in str(sidecar_of(d)) for d in objects)

    return "all images are of the mirror", mirrored


# -- the window ----------------------------------------------------------------------------------


@contextmanager
def overheard(operator: Operator, directory: Path) -> Iterator[Proxy]:
    """The controller's requests, recorded by a proxy. Another owner has a ConfigMap with the script's name."""
    proxy = Proxy(operator.cluster.kubeconfig, directory / "proxy")
    home = Space(operator.client, NAMESPACE)
    operator.stop_controllers()
    home.delete("ConfigMap", "asya-runtime")
    home.create_object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "asya-runtime"}, "data": {}})
    try:
        operator.start_controller(kubeconfig=proxy.kubeconfig)
        yield proxy
    finally:
        home.delete("ConfigMap", "asya-runtime")
        operator.restart_controller()
        home.wait("ConfigMap", "asya-runtime")
        proxy.close()


def assert_rest(proxy: Proxy) -> None:
    """Wait until no more is written, then check that nothing is written for the whole window."""
    start_time = time.monotonic()
    while True:
        now = time.monotonic()
        last = max((request.at for request in proxy.since(start_time) if request.writes), default=start_time)
        if now - last >= REST_SECONDS:
            return
        if now > start_time + PATIENCE:
            recent = Counter(f"{a.method} {a.path}" for a in proxy.since(now - REST_SECONDS) if a.writes)
            raise AssertionError(f"written in the last {REST_SECONDS:g} s: {dict(recent)}")
        time.sleep(min(1.0, REST_SECONDS - (now - last)))


@pytest.mark.only("sandbox", *(("kube-apiserver",) if FULL else ()))
def test_nothing_is_written_at_rest_in_any_situation(
    space: Space, operator: Operator, cluster: Cluster, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        stack.callback(operator.configure_webhooks)
        proxy = stack.enter_context(overheard(operator, tmp_path))
        for what, probe in [make(space, cluster, stack) for make in SITUATIONS]:
            wait_for(what, probe, 60)
        assert_rest(proxy)
        blocked = [e for e in space.all("Event") if e["reason"] == "DeletionBlocked"]
        assert [e.get("count", 1) for e in blocked] == [1]
        if cluster.real:
            return
        # These affect all objects: KEDA is missing, and the webhook's settings differ from the controller's.
        remove_finalizer(space)
        space.apply(actor("keda", scaling={"enabled": True}))
        operator.stop_controllers()
        operator.environment["ASYA_SIDECAR_IMAGE"] = "ghcr.io/example/sidecar:2"
        stack.callback(lambda: operator.environment.pop("ASYA_SIDECAR_IMAGE"))
        uninstall_keda(space.client)
        stack.callback(lambda: install_keda(space.client))
        operator.start_controller(kubeconfig=proxy.kubeconfig)
        no_keda = says(space, "keda", "KEDANotInstalled", "ScalingReady")
        for what, probe in (no_keda, warned(space, "InjectionOutdated", "'two'")):
            wait_for(what, probe, 60)
        assert_rest(proxy)


@pytest.mark.only("sandbox")
def test_a_new_actor_costs_few_writes(space: Space, operator: Operator, tmp_path: Path) -> None:
    """One of each object and no read. Actors with the same user name share an entry in KEDA's ConfigMap."""
    rabbitmq = {"host": "rabbitmq", "username": "app", "passwordSecretRef": {"name": "rabbitmq", "key": "password"}}
    spec = {"scaling": {"enabled": True}, "transport": {"type": "rabbitmq", "rabbitmq": rabbitmq}}
    with overheard(operator, tmp_path) as proxy:
        space.apply(actor("old", **spec))
        ready(space, "old")
        settle(space)
        start_time = time.monotonic()
        space.apply(actor("new", **spec))
        ready(space, "new")
        time.sleep(1)
        paths = [(r.method, r.path.partition(f"/namespaces/{space.name}/")[2]) for r in proxy.since(start_time)]
    counted = Counter(f"{method} {path.partition('?')[0]}" for method, path in paths if path)
    assert counted.pop("POST events") > 0
    assert counted == {
        "PATCH deployments/new": 1,
        "PATCH triggerauthentications/new": 1,
        "PATCH scaledobjects/new": 1,
        "PATCH asyncactors/new/status": 1,
    }
