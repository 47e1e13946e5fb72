"""The result of each check of ``doctor`` for healthy and broken clusters."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from certs import authority
from certs.authority import create_authority, issue
from cli.doctor import Check, Doctor
from crds.manifest import manifest
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import Resource

AUTHORITY = create_authority("asya-operator", timedelta(days=100))
REFUSAL = ApiError(422, "Invalid", "there is no AsyncActor 'asya-doctor-asks' in namespace 'default'")
KEDA = {"metadata": {"name": "scaledobjects.keda.sh", "labels": {"app.kubernetes.io/version": "2.17.0"}}}


def keda_operator(ready: int, version: str = "2.17.2") -> Object:
    """KEDA's own Deployment, with this number of ready pods."""
    template = {"spec": {"containers": [{"name": "keda-operator", "image": f"ghcr.io/kedacore/keda:{version}"}]}}
    metadata = {"name": "keda-operator", "namespace": "keda"}
    return {"metadata": metadata, "spec": {"template": template}, "status": {"readyReplicas": ready} if ready else {}}


def secret(days: float) -> Object:
    """A Secret with a serving certificate that is valid for this time."""
    serving = issue(AUTHORITY, ["webhook"], timedelta(days=days))
    return {"data": {"tls.crt": base64.b64encode(serving.certificate).decode()}}


def aged(life: float, left: float) -> Object:
    """A Secret with a serving certificate that lasts ``life`` days, of which ``left`` are left."""

    class Past(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Past":
            return cls.fromtimestamp(datetime.now(UTC).timestamp() - (life - left) * 86400, tz)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(authority, "datetime", Past)
        return secret(life)


def lease(seconds: float) -> Object:
    """A Lease that was renewed this many seconds ago."""
    renewed = datetime.now(UTC) - timedelta(seconds=seconds)
    return {"spec": {"holderIdentity": "me", "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}


def configuration(kind: str, ca: bytes = AUTHORITY.certificate) -> Object:
    """A webhook configuration that trusts a CA."""
    hook = {"name": "inject.asya.io", "clientConfig": {"caBundle": base64.b64encode(ca).decode()}}
    return {"kind": kind, "metadata": {"name": "asya-operator"}, "webhooks": [hook]}


def actor(ready: str = "True") -> Object:
    """An actor that refers to a Secret."""
    rabbitmq = {"host": "r", "passwordSecretRef": {"name": "rabbitmq", "key": "password"}}
    status = {"phase": "QueueMissing", "conditions": [{"type": "Ready", "status": ready}]}
    spec = {"transport": {"type": "rabbitmq", "rabbitmq": rabbitmq}}
    return {"metadata": {"name": "a", "namespace": "x"}, "spec": spec, "status": status}


def deployed(account: str, namespaces: str = "") -> Object:
    """The Deployment of one of the operator's processes."""
    environment = [{"name": "ASYA_WATCH_NAMESPACES", "value": namespaces}]
    pod = {"serviceAccountName": account, "containers": [{"env": environment}]}
    return {"spec": {"template": {"spec": pod}}}


class Api:
    """A healthy cluster, except for what a test replaces: an object, its error, or a function that creates it.

    An object that ages within seconds is created only when it is read, because pytest creates parameters at the start
    of the run.
    """

    def __init__(self, **other: Any) -> None:
        kinds = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
        self.objects: dict[str, Any] = {kind: configuration(kind) for kind in kinds} | {
            "asyncactors.asya.io": manifest(),
            "scaledobjects.keda.sh": KEDA,
            "Lease": lease(1),
            "asya-operator-webhook-cert": secret(90),
            "rabbitmq": {"data": {"password": "cA=="}},
            "AsyncActor": [actor()],
            "Deployment": [keda_operator(1)],
            "Deployment/asya-operator": deployed("asya-operator"),
            "Deployment/asya-operator-webhook": deployed("asya-operator-webhook"),
            "Pod": REFUSAL,
            "SubjectAccessReview": {"status": {"allowed": True}},
            "version": (1, 36),
        }
        self.objects |= {name: result() if callable(result) else result for name, result in other.items()}
        self.requests: list[str] = []
        self.reviews: list[Object] = []

    def _answer(self, *names: str) -> Any:
        self.requests.append("/".join(names))
        match = next((self.objects[name] for name in names if name in self.objects), None)
        if isinstance(match, ApiError):
            raise match
        return match

    def version(self) -> Any:
        return self._answer("version")

    def get(self, resource: Resource, _namespace: str, name: str) -> Any:
        return self._answer(f"{resource.kind}/{name}", name, resource.kind)

    def list(self, resource: Resource, _namespace: str = "", **_query: str) -> Any:
        return self._answer(resource.kind)

    def request(self, _method: str, path: str, **_rest: Any) -> Any:
        self.reviews.append((_rest.get("body") or {}).get("spec") or {})
        return self._answer("Pod" if path.endswith("/pods") else "SubjectAccessReview")


def checks(**other: Any) -> list[Check]:
    """All checks of a cluster that is healthy except for ``other``."""
    return list(Doctor(cast(Client, Api(**other)), "asya-system").run())


def test_a_healthy_cluster_passes_all_checks() -> None:
    result = checks()
    assert [c for c in result if c.verdict != "good"] == []
    assert len(result) > 9


FORBIDDEN = ApiError(403, "Forbidden", "you may not")


@pytest.mark.parametrize(
    ("other", "verdict", "message"),
    [
        ({"version": (1, 20)}, "bad", "Kubernetes 1.20"),
        ({"version": ApiError(0, "Unreachable", "no answer")}, "bad", "no answer"),
        ({"asyncactors.asya.io": None}, "bad", "no CustomResourceDefinition"),
        ({"asyncactors.asya.io": {"spec": {"versions": []}}}, "bad", "has another version than this command"),
        ({"Lease": None}, "bad", "no controller leads"),
        ({"Lease": lambda: lease(120)}, "bad", "the controller 'me' has not renewed its Lease for 12"),
        ({"MutatingWebhookConfiguration": None}, "bad", "no MutatingWebhookConfiguration"),
        ({"asya-operator-webhook-cert": secret(-0.001)}, "bad", "expired"),
        ({"asya-operator-webhook-cert": aged(30, 2.5)}, "bad", "expires in 2 days"),
        ({"asya-operator-webhook-cert": FORBIDDEN}, "unknown", "cannot be checked: you may not"),
        (
            {"MutatingWebhookConfiguration": configuration("MutatingWebhookConfiguration", b"")},
            "bad",
            "trusts no certificate",
        ),
        ({"Pod": None}, "bad", "does not ask the webhook"),
        ({"Pod": ApiError(500, "InternalError", "failed calling webhook: refused")}, "bad", "does not reach"),
        ({"Pod": FORBIDDEN}, "unknown", "the webhook: cannot be checked"),
        ({"SubjectAccessReview": {"status": {"allowed": False}}}, "bad", "lacks the right to list asyncactors.asya.io"),
        ({"SubjectAccessReview": ApiError(404, "NotFound", "no such thing")}, "unknown", "rights"),
        ({"scaledobjects.keda.sh": None}, "bad", "KEDA is not installed"),
        ({"scaledobjects.keda.sh": {"metadata": {}}, "Deployment": []}, "unknown", "its version is unknown"),
        ({"Deployment": [keda_operator(0)]}, "bad", "KEDA does not run"),
        (
            {"scaledobjects.keda.sh": {"metadata": {"labels": {"app.kubernetes.io/version": "2.9.3"}}}},
            "bad",
            "KEDA 2.9",
        ),
        ({"rabbitmq": None}, "bad", "the Secret 'rabbitmq' in 'x' with the key 'password'"),
        ({"rabbitmq": {"data": {"other": ""}}}, "bad", "with the key 'password'"),
        ({"AsyncActor": [actor("False")]}, "bad", "the AsyncActor 'a' in 'x': QueueMissing"),
    ],
)
def test_each_problem_has_a_remedy(other: dict[str, Any], verdict: str, message: str) -> None:
    results = [c for c in checks(**other) if c.verdict == verdict]
    assert any(message in c.what for c in results), results
    assert all(c.remedy for c in results if c.verdict == "bad")


def test_the_version_of_keda_is_also_in_its_image() -> None:
    result = checks(**{"scaledobjects.keda.sh": {"metadata": {}}, "Deployment": [keda_operator(1, "2.15.1")]})
    assert any("KEDA 2.15" in c.what for c in result)


def test_rights_are_checked_in_the_operators_namespaces_with_its_own_names() -> None:
    limited = deployed("mine", "one,two"), deployed("other", "one,two")
    api = Api(
        **{"Deployment/ours": limited[0], "Deployment/ours-webhook": limited[1], "ours": None, "Lease/ours": lease(1)}
    )
    list(Doctor(cast(Client, api), "asya-system", name="ours").run())
    rights = [review for review in api.reviews if "resourceAttributes" in review]
    assert {review["user"].rpartition(":")[2] for review in rights} == {"mine", "other"}
    assert {review["resourceAttributes"]["namespace"] for review in rights} == {"one", "two"}
    names = {r["resourceAttributes"]["name"] for r in rights if r["resourceAttributes"]["resource"] == "configmaps"}
    assert names == {"asya-runtime", "asya-keda"}


def test_remedies_use_the_operators_name() -> None:
    published = configuration("MutatingWebhookConfiguration", b"")
    published["metadata"] = {"name": "ours", "annotations": {"meta.helm.sh/release-name": "two"}}
    install = "helm upgrade --install asya-operator charts/asya-operator --namespace x --set fullnameOverride=ours"
    upgrade = "helm upgrade --install two charts/asya-operator --namespace x --reuse-values"
    ours = {f"Deployment/{name}": deployed(name) for name in ("ours", "ours-webhook")}
    for result, command in ((None, install), (published, upgrade)):
        kinds = {"MutatingWebhookConfiguration": result, "ValidatingWebhookConfiguration": None}
        api = Api(**kinds, **ours, **{"asyncactors.asya.io": None, "ours-webhook-cert": secret(-0.001)})
        remedies = [c.remedy for c in Doctor(cast(Client, api), "x", name="ours").run()]
        assert f"Run: {command}" in remedies
        assert any("asya-operator certs show --namespace x --name ours" in remedy for remedy in remedies)


def test_nothing_is_read_twice() -> None:
    api = Api()
    list(Doctor(cast(Client, api), "asya-system").run())
    read = [name for name in api.requests if name != "SubjectAccessReview"]
    assert sorted(read) == sorted(set(read))


def test_unconsumed_queues_and_warnings_are_reported() -> None:
    mismatch = {"type": "QueueConsumed", "status": "False", "message": "one, and consumes another. Leave it out"}
    obj = actor("False")
    obj["status"] = {"conditions": [*obj["status"]["conditions"], mismatch], "warnings": ["spec.timeout: too short"]}
    result = checks(AsyncActor=[obj])
    assert Check("bad", "the AsyncActor 'a' in 'x': one, and consumes another", "Leave it out") in result
    assert Check("warning", "the AsyncActor 'a' in 'x': spec.timeout: too short") in result


@pytest.mark.parametrize("life", [0.05, 3, 20])
def test_a_short_lifetime_is_no_fault(life: float) -> None:
    result = checks(**{"asya-operator-webhook-cert": aged(life, life / 3)})
    assert not [c for c in result if c.verdict == "bad" and "certificate" in c.what]


def test_an_old_ca_that_is_still_kept_is_no_fault() -> None:
    old = create_authority("old", timedelta(seconds=-60))
    kinds = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    result = checks(**{kind: configuration(kind, AUTHORITY.certificate + old.certificate) for kind in kinds})
    assert not [c for c in result if c.verdict == "bad" and "certificate" in c.what]
    messages = [c.what for c in result]
    assert any("CN=old is also trusted" in what for what in messages), "\n".join(messages)
