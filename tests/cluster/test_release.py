"""The chart on a cluster, from `helm install` to `helm uninstall`, under load all along."""

import base64
import json
import signal
import time
from collections import Counter

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from kube.contests import FREE
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import DEPLOYMENTS, EVENTS, PODS, SECRETS, Resource
from tests.cases.troubles import TROUBLES, report, running_pod
from tests.cluster.labelling import own, workload
from tests.cluster.watching import ready
from tests.harness.clusters import wait_for
from tests.harness.helm import Helm
from tests.harness.load import Load
from tests.harness.operator import NAMESPACES, WEBHOOKS, install_keda, uninstall_keda
from tests.harness.release import NAMESPACE, Release
from tests.harness.space import Space, actor, example

pytestmark = pytest.mark.best_tier

SECRET = "asya-operator-webhook-cert"
SHORT = {"caLifetime": "9s", "lifetime": "4s", "overlap": "1s"}
POD = workload("Pod", "", "a")


def bundle(release: Release) -> str:
    found = release.client.get(WEBHOOKS["MutatingWebhookConfiguration"], "", "asya-operator")
    assert found is not None
    return str(found["webhooks"][0]["clientConfig"].get("caBundle", ""))


def blank(release: Release, resource: Resource) -> None:
    """Take the CA bundle out of a webhook configuration."""
    release.client.request(
        "PATCH",
        resource.path(name="asya-operator"),
        body=[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}],
        content_type="application/json-patch+json",
    )


def test_five_upgrades_under_load(release: Release, place: Space) -> None:
    release.start(webhooks=2)
    place.apply(actor("a"))
    ready(place, "a")
    with Load(place).running():
        for n in range(5):
            release.install(
                logLevel="DEBUG" if n % 2 else "INFO",
                webhook={"threads": 8 + n, "timeoutSeconds": 5 + n},
                sidecar={"defaultResources": {"limits": {"memory": f"{256 + n}Mi"}}},
            )
            assert bundle(release)
            release.roll_webhook()
    configuration = release.client.get(WEBHOOKS["MutatingWebhookConfiguration"], "", "asya-operator")
    assert configuration
    assert configuration["webhooks"][0]["timeoutSeconds"] == 9


def test_ten_rotations_under_load_without_a_restart(release: Release, place: Space) -> None:
    release.start(webhooks=2, certs=SHORT)
    place.apply(actor("a"))
    ready(place, "a")
    pids = [r.process for r in release.webhooks]
    served, bundles = set[str](), set[str]()
    with Load(place).running():
        deadline = time.monotonic() + 90
        while len(served) < 11 or len(bundles) < 4:
            assert time.monotonic() < deadline, (len(served), len(bundles))
            secret = release.client.get(SECRETS, NAMESPACE, SECRET)
            served.add((secret or {})["data"]["tls.crt"])
            bundles.add(bundle(release))
            time.sleep(0.2)
    assert all(process.running for process in pids)


def test_what_is_deleted_damaged_or_blanked_is_healed(release: Release, place: Space) -> None:
    release.start(webhooks=1)
    place.apply(actor("a"))
    ready(place, "a")

    def injected() -> bool:
        pod = {**POD, "metadata": {"generateName": "p-", "labels": {"asya.io/actor": "a"}}}
        return bool(place.create_object(pod)["spec"]["containers"][0]["name"] == "sidecar")

    def reasons() -> Counter[str]:
        return Counter(e["reason"] for e in release.client.list(EVENTS, NAMESPACE))

    before = bundle(release)
    release.client.delete(SECRETS, NAMESPACE, SECRET)
    wait_for("the Secret", lambda: release.client.get(SECRETS, NAMESPACE, SECRET), 30)
    assert bundle(release) == before, "it is restored as it was"
    assert injected()
    junk = {"data": {"authority.crt": base64.b64encode(b"junk").decode(), "tls.crt": ""}}
    release.client.merge_patch(SECRETS, NAMESPACE, SECRET, junk)
    wait_for(
        "the repair", lambda: (release.client.get(SECRETS, NAMESPACE, SECRET) or {})["data"].get("tls.crt", ""), 30
    )
    wait_for("admission", injected, 30)
    wait_for("events", lambda: reasons()["CertificateRestoredSecret"] and reasons()["CertificateRestoredDamagedSecret"])
    for resource in WEBHOOKS.values():
        blank(release, resource)
    wait_for("the bundle", lambda: bundle(release) == before, 30)
    wait_for("admission", injected, 30)
    metrics = release.metrics(release.controllers[0])
    assert 'asya_controller_certificate_changes_total{change="restored-secret"} 1.0' in metrics
    assert 'asya_controller_certificate_changes_total{change="published-where-blank"}' in metrics


def test_somebody_who_insists_on_a_blank_bundle_is_met_ever_more_slowly(release: Release) -> None:
    release.start(webhooks=0)
    before = wait_for("the bundle", lambda: bundle(release))
    resource, blanked, deadline = WEBHOOKS["MutatingWebhookConfiguration"], 0, time.monotonic() + 6
    while time.monotonic() < deadline:
        if bundle(release):
            blank(release, resource)
            blanked += 1
        time.sleep(0.1)
    assert FREE <= blanked <= FREE + 4
    wait_for("the bundle", lambda: bundle(release) == before, 30)
    told = [e for e in release.client.list(EVENTS, NAMESPACE) if e["reason"] == "Contested"]
    assert len(told) == 1
    assert "MutatingWebhookConfiguration 'asya-operator'" in told[0]["message"]
    assert told[0]["count"] <= 4


def test_all_replicas_of_the_webhook_gone(release: Release, place: Space) -> None:
    release.start(webhooks=1)
    place.apply(actor("a"))
    ready(place, "a")
    wait_for("a pod", lambda: place.all("Pod"))
    release.stop_webhook(release.webhooks[0])
    place.create_object(workload("Pod", "plain"))
    before = {p["metadata"]["name"] for p in place.all("Pod")}
    running = next(p for p in before if p.startswith("a-"))
    place.delete("Pod", running)
    wait_for("its successor", lambda: {p["metadata"]["name"] for p in place.all("Pod")} - before)
    with pytest.raises(ApiError, match="failed calling webhook"):
        place.create_object(workload("Pod", "fresh", "a"))
    release.start_webhook()
    assert place.create_object(workload("Pod", "fresh", "a"))["spec"]["containers"][0]["name"] == "sidecar"


def test_bring_your_own_certificate(release: Release, place: Space) -> None:
    from datetime import timedelta

    from certs.authority import create_authority, issue

    authority = create_authority("mine", timedelta(days=1))
    serving = issue(authority, ["127.0.0.1"], timedelta(days=1))
    parts = {"tls.crt": serving.certificate, "tls.key": serving.key, "ca.crt": authority.certificate}
    install_keda(release.client)
    release.install(certs={"mode": "secret", "secretName": "mine"})
    release.client.create(
        SECRETS,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "mine", "namespace": NAMESPACE},
            "type": "kubernetes.io/tls",
            "data": {name: base64.b64encode(data).decode() for name, data in parts.items()},
        },
    )
    release.start_controller()
    release.start_webhook()
    place.apply(actor("a"))
    ready(place, "a")
    assert base64.b64decode(bundle(release)) == authority.certificate


def test_the_operators_own_pods_pass_the_restricted_profile(release: Release) -> None:
    if not release.cluster.real:
        pytest.skip("the sandbox holds pods to no Pod Security profile")
    release.install()
    restricted = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    release.client.merge_patch(NAMESPACES, "", NAMESPACE, restricted)
    for name in ("asya-operator", "asya-operator-webhook"):
        deployment = release.client.get(DEPLOYMENTS, NAMESPACE, name)
        assert deployment
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": deployment["spec"]["template"]["spec"],
        }
        release.client.create(PODS, pod)


def test_certs_show(release: Release) -> None:
    release.start(webhooks=1)
    command = ["certs", "show", "--kubeconfig", str(release.cluster.kubeconfig)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "served" in done.stdout
    assert "trusted by MutatingWebhookConfiguration inject.asya.io" in done.stdout
    release.controllers[0].process.stop(signal.SIGKILL)
    release.client.delete(SECRETS, NAMESPACE, SECRET)
    assert CliRunner().invoke(app, command).exit_code == 1


# -- rights --------------------------------------------------------------------------------------


def rules(objects: list[Object]) -> set[tuple[str, str, str, str]]:
    """(ServiceAccount, verb, group, resource) of every right that the chart gives."""
    given = set()
    for obj in objects:
        aggregated = any("aggregate-to-" in label for label in obj["metadata"].get("labels") or ())
        if obj["kind"] in ("ClusterRole", "Role") and not aggregated:
            for rule in obj["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        given |= {(obj["metadata"]["name"], verb, group, resource) for verb in rule["verbs"]}
    return given


def test_no_right_is_a_wildcard_or_reaches_secrets_of_others() -> None:
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


def test_every_right_is_used_and_none_is_missing(release: Release, place: Space) -> None:
    """What the two ServiceAccounts ask for in a whole life is just what the chart allows them.

    A right that is taken away turns a request of this list into a 403, so each one is needed.
    """
    if not release.cluster.real:
        pytest.skip("the sandbox checks no rights")
    release.start(webhooks=1)
    space, client = place, release.client
    space.apply(example("rabbitmq-deployment"))
    space.apply(example("sqs-statefulset"))
    space.apply(example("scaled-job"))
    job = actor("job")
    job["spec"]["workload"]["type"] = "Job"
    space.apply(job)
    for name in ("text-processor", "indexer", "video-encoder", "job"):
        ready(space, name)
    # Every kind is labelled, re-injected and let go.
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
    # Bring your own of both kinds, scaled and given back.
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
    # Jobs are replaced, workloads change their type, scaling is switched off, KEDA complains.
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
    for ready_now in ("False", "True", "False"):  # the second time it is the same Event, said again
        told = {"status": {"conditions": [{"type": "Ready", "status": ready_now, "message": "no"}]}}
        space.patch("ScaledObject", "text-processor", told, "status")
        space.wait_condition("text-processor", "ScalingReady", ready_now, timeout=10)
    # A pod that is not ready is looked at.
    space.apply(actor("broken"))
    ready(space, "broken")
    report(space, running_pod(space, "broken"), ready=False, status=TROUBLES["ImagePullError"][0])
    space.wait_condition("broken", "PodsReady", "False", "ImagePullError")
    changed["spec"]["scaling"]["enabled"] = False
    space.apply(changed)
    space.wait_gone("ScaledObject", "text-processor")
    encoder = example("scaled-job")
    encoder["spec"]["scaling"]["enabled"] = False
    space.apply(encoder)
    space.wait_gone("ScaledJob", "video-encoder")
    # Everything is let go, the script with the last actor; the Secret is restored.
    client.delete(SECRETS, NAMESPACE, SECRET)
    wait_for("the Secret", lambda: client.get(SECRETS, NAMESPACE, SECRET))
    pod = workload("Pod", "unknown", "nobody")
    with pytest.raises(ApiError, match="there is no AsyncActor 'nobody'"):
        space.create_object(pod)
    for obj in space.all("AsyncActor"):
        space.delete("AsyncActor", obj["metadata"]["name"])
    space.delete("Job", "x")  # which cannot be un-injected, and so keeps the script
    space.wait_gone("ConfigMap", "asya-runtime")
    # KEDA comes and goes, and so does the operator.
    uninstall_keda(client)
    time.sleep(2)
    release.stop(signal.SIGTERM)
    release.uninstall()

    used, forbidden = set[tuple[str, str, str, str]](), []
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
            # An apply that creates asks for the right to create as well.
            used.add((account, "create", *request[2:]))
        if status.get("code") == 403 and "is being terminated" not in status.get("message", ""):
            forbidden.append((request, status.get("message")))
    assert forbidden == []
    # Asked of the API server by itself, when an owner reference blocks its owner's deletion.
    implied = {("asya-operator", "update", "asya.io", "asyncactors/finalizers")}
    # Read only where a watch is behind what a re-injection wrote, which happens or does not.
    for group, resource in (("apps", "daemonsets"), ("batch", "cronjobs"), ("keda.sh", "scaledjobs")):
        implied.add(("asya-operator", "get", group, resource))
    given = rules([d for d in Helm().template({}) if d]) - implied
    assert yaml.safe_dump(sorted(map(list, given - used))) == "[]\n", "given and never used"


CLUSTER_ROLES = Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles")


def test_owners_that_block_their_deletion_need_the_right_to_their_finalizers(release: Release, place: Space) -> None:
    """Only where the admission plugin OwnerReferencesPermissionEnforcement is on, as on OpenShift."""
    if not release.cluster.real:
        pytest.skip("the sandbox checks no rights")
    release.start(webhooks=1)
    role = release.client.get(CLUSTER_ROLES, "", "asya-operator")
    assert role
    role["rules"] = [rule for rule in role["rules"] if "asyncactors/finalizers" not in rule["resources"]]
    release.client.request("PUT", CLUSTER_ROLES.path(name="asya-operator"), body=role)
    time.sleep(0.5)
    place.apply(actor("a"))
    told = place.wait_condition("a", "WorkloadReady", "False", "WorkloadForbidden", timeout=15)["message"]
    assert "cannot set blockOwnerDeletion" in told
