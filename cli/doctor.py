"""``doctor``: checks an installation from outside, with the rights of the caller.

Each check gives a tick or a remedy. A check that is not possible, for example because a right is missing, reports the
reason and counts as neither.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from certs.keeper import CONFIGURATIONS
from certs.show import rows, served_from
from controller.rules.remedies import options
from controller.rules.status import QUEUE_CONSUMED, condition
from crds.manifest import NAME as CRD_NAME
from crds.manifest import manifest
from crds.names import LABEL_ACTOR, OPERATOR
from kube import resources
from kube.client import Client
from kube.compare import contains
from kube.failures import ApiError
from kube.resources import Resource

Object = dict[str, Any]
Verdict = Literal["good", "bad", "warning", "unknown"]

OLDEST_KUBERNETES, OLDEST_KEDA = (1, 25), (2, 16)
LEASE_SECONDS = 30
"""Age of a Lease above which no controller leads. A leader renews every few seconds."""
RELEASE_NAME = "meta.helm.sh/release-name"
CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")
REVIEWS = Resource("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews")
RIGHTS = (
    ("", "asya.io", "asyncactors", ("list", "watch", "patch")),
    ("", "apps", "deployments", ("get", "list", "watch", "create", "patch", "delete")),
    ("", "apps", "statefulsets", ("get", "list", "watch", "create", "patch", "delete")),
    ("", "batch", "jobs", ("get", "list", "watch", "create", "patch", "delete")),
    ("", "keda.sh", "scaledobjects", ("list", "watch", "create", "patch", "delete")),
    ("", "", "configmaps/asya-runtime", ("get", "list", "watch", "create", "patch", "delete")),
    ("", "", "configmaps/asya-keda", ("get", "list", "watch", "create", "patch", "delete")),
    ("", "", "events", ("list", "create", "patch")),
    ("", "", "pods", ("list", "watch")),
    ("-webhook", "asya.io", "asyncactors", ("get", "list", "watch")),
)
"""Rights that the operator's ServiceAccounts need in the namespaces of actors.

Each entry: suffix of the process's name, API group, resource (optionally with ``/name``), verbs.
"""


@dataclass(frozen=True)
class Check:
    """The outcome of one check."""

    verdict: Verdict
    what: str
    remedy: str = ""


def good(what: str) -> Check:
    """A check that passed."""
    return Check("good", what)


def bad(what: str, remedy: str) -> Check:
    """A check that failed, and how to fix it."""
    return Check("bad", what, remedy)


class Doctor:
    """All checks against one cluster."""

    def __init__(self, client: Client, namespace: str, secret: str = "", name: str = OPERATOR) -> None:
        """Prepare the checks.

        Args:
            client: a client of the cluster, with the caller's rights.
            namespace: the operator's own namespace.
            secret: the Secret with the webhook's certificate. Empty: the chart's Secret.
            name: name of the operator's objects, the chart's ``fullnameOverride``.
        """
        self._client, self._namespace, self._secret, self._name = client, namespace, secret, name

    @cached_property
    def _published(self) -> dict[str, Object]:
        """The webhook configurations that exist, by kind."""
        live = {resource.kind: self._client.get(resource, "", self._name) for resource in CONFIGURATIONS}
        return {kind: obj for kind, obj in live.items() if obj is not None}

    @cached_property
    def _listed(self) -> list[Object]:
        """All actors."""
        return self._client.list(resources.ASYNC_ACTORS)

    def run(self) -> Iterator[Check]:
        """Yield each check as soon as it is done. If the API server does not answer, there is only the first check."""
        first = list(self._guarded("the API server", self._kubernetes))
        yield from first
        if first[-1].verdict != "good":
            return
        for subject, check in (
            ("the CustomResourceDefinition", self._crd),
            ("the controller", self._controller),
            ("the webhook configurations", self._configurations),
            ("the certificates", self._certificates),
            ("the webhook", self._webhook),
            ("the operator's rights", self._rights),
            ("KEDA", self._keda),
            ("the queues' Secrets", self._secrets),
            ("the actors", self._actors),
        ):
            yield from self._guarded(subject, check)

    @staticmethod
    def _guarded(subject: str, check: Callable[[], Iterable[Check]]) -> Iterator[Check]:
        try:
            yield from check()
        except ApiError as error:
            if error.code == 0:
                yield bad(f"{subject}: {error.message}", "Check the address and credentials in the kubeconfig")
            else:
                yield Check("unknown", f"{subject}: cannot be checked: {error.message}")

    def _kubernetes(self) -> Iterator[Check]:
        version = self._client.version()
        message = f"Kubernetes {version[0]}.{version[1]} answers"
        if version < OLDEST_KUBERNETES:
            yield bad(message, f"Upgrade to Kubernetes {OLDEST_KUBERNETES[0]}.{OLDEST_KUBERNETES[1]} or newer")
        else:
            yield good(message)

    def _crd(self) -> Iterator[Check]:
        obj = self._client.get(CRDS, "", CRD_NAME)
        if obj is None:
            yield bad("there is no CustomResourceDefinition asyncactors.asya.io", self._upgrade)
        elif not contains(obj["spec"]["versions"], manifest()["spec"]["versions"]):
            yield bad("the CustomResourceDefinition has another version than this command", self._upgrade)
        else:
            yield good("the CustomResourceDefinition exists and has the version of this command")

    def _controller(self) -> Iterator[Check]:
        lease = self._client.get(resources.LEASES, self._namespace, self._name)
        spec = (lease or {}).get("spec") or {}
        remedy = f"Check the controller: kubectl --namespace {self._namespace} describe deployment {self._name}"
        if not spec.get("holderIdentity"):
            yield bad("no controller leads", remedy)
            return
        renewed = datetime.fromisoformat(spec["renewTime"])
        seconds = (datetime.now(UTC) - renewed).total_seconds()
        if seconds > LEASE_SECONDS:
            yield bad(
                f"the controller {spec['holderIdentity']!r} has not renewed its Lease for {seconds:.0f} s", remedy
            )
        else:
            yield good(f"the controller {spec['holderIdentity']!r} leads")

    def _configurations(self) -> Iterator[Check]:
        for resource in CONFIGURATIONS:
            if resource.kind not in self._published:
                yield bad(f"there is no {resource.kind} {self._name!r}, so nothing is injected", self._upgrade)
            else:
                yield good(f"the {resource.kind} {self._name!r} exists")

    @property
    def _upgrade(self) -> str:
        """The command that restores missing objects: an upgrade of the same Helm release with its own values."""
        annotations = [obj["metadata"].get("annotations") or {} for obj in self._published.values()]
        release = next((a[RELEASE_NAME] for a in annotations if RELEASE_NAME in a), "")
        more = " --reuse-values" if release else ""
        if not release and self._name != OPERATOR:
            more = f" --set fullnameOverride={self._name}"
        command = f"helm upgrade --install {release or OPERATOR} charts/asya-operator"
        return f"Run: {command} --namespace {self._namespace}{more}"

    @property
    def _options(self) -> str:
        """The options that this installation needs in other commands. Empty for the default names."""
        return options(self._namespace, self._name)

    def _certificates(self) -> Iterator[Check]:
        name = self._secret or served_from(self._name, self._published.values())
        secret = self._client.get(resources.SECRETS, self._namespace, name)
        if secret is None:
            yield Check("unknown", f"the certificate: there is no Secret {name!r} in {self._namespace!r}")
            return
        now = datetime.now(UTC)
        for row in rows(secret, self._published.values(), now):
            days = (row.expires - now).days
            if row.verdict:
                show = f"asya-operator certs show{self._options}"
                remedy = f"With certs.mode self the controller repairs it. In other modes renew it; see {show}"
                yield bad(f"the certificate {row.where}: {row.verdict}", remedy)
            elif row.is_late(now):
                yield bad(
                    f"the certificate {row.where} expires in {days} days", "Renew it, and check why it was not renewed"
                )
            elif row.is_used:
                yield good(f"the certificate {row.where} is valid for {days} days")
            else:
                yield good(
                    f"the certificate {row.where}: {row.subject} is also trusted, but did not sign the served one"
                )

    def _webhook(self) -> Iterator[Check]:
        """Create a pod as a dry run. If the API server reaches the webhook, the webhook denies this pod."""
        metadata = {"name": "asya-doctor", "namespace": "default", "labels": {LABEL_ACTOR: "asya-doctor-asks"}}
        spec = {"containers": [{"name": "runtime", "image": "none"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        try:
            self._client.request("POST", resources.PODS.path("default"), query={"dryRun": "All"}, body=pod)
        except ApiError as error:
            if "there is no AsyncActor" in error.message:
                yield good("the API server reaches the webhook")
            elif "failed calling webhook" in error.message:
                remedy = f"Check its pods and its Service: kubectl --namespace {self._namespace} get pods,services"
                yield bad(f"the API server does not reach the webhook: {error.message}", remedy)
            else:
                raise
        else:
            yield bad("the API server does not ask the webhook about labelled pods", self._upgrade)

    def _rights(self) -> Iterator[Check]:
        deployed = {suffix: self._deployed(suffix) for suffix in ("", "-webhook")}
        missing = [
            f"{verb} {resource}{'.' if group else ''}{group}{f' in {where!r}' if where else ''} ({account})"
            for suffix, group, resource, verbs in RIGHTS
            for account, watched in [deployed[suffix]]
            for where in watched
            for verb in verbs
            if not self._is_allowed(account, group, resource, verb, where)
        ]
        if missing:
            yield bad(f"the operator lacks the right to {', '.join(missing)}", self._upgrade)
        else:
            yield good("the operator has the rights that it needs")

    def _deployed(self, suffix: str) -> tuple[str, list[str]]:
        """The ServiceAccount of a process, and the namespaces that it watches. An empty name means all namespaces."""
        obj = self._client.get(resources.DEPLOYMENTS, self._namespace, f"{self._name}{suffix}") or {}
        pod = ((obj.get("spec") or {}).get("template") or {}).get("spec") or {}
        environment = {e["name"]: e.get("value") for c in pod.get("containers") or () for e in c.get("env") or ()}
        account = pod.get("serviceAccountName") or f"{self._name}{suffix}"
        return account, (environment.get("ASYA_WATCH_NAMESPACES") or "").split(",")

    def _is_allowed(self, account: str, group: str, resource: str, verb: str, where: str) -> bool:
        resource, _, name = resource.partition("/")
        review = {
            "apiVersion": REVIEWS.api_version,
            "kind": REVIEWS.kind,
            "spec": {
                "user": f"system:serviceaccount:{self._namespace}:{account}",
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{self._namespace}"],
                "resourceAttributes": {
                    "namespace": where,
                    "group": group,
                    "resource": resource,
                    "name": name,
                    "verb": verb,
                },
            },
        }
        answer: Object = self._client.request("POST", REVIEWS.path(), body=review)
        return bool(answer["status"]["allowed"])

    def _keda(self) -> Iterator[Check]:
        obj = self._client.get(CRDS, "", "scaledobjects.keda.sh")
        if obj is None:
            yield bad("KEDA is not installed, so nothing is scaled", "Install it: https://keda.sh/docs/latest/deploy/")
            return
        operators = self._client.list(resources.DEPLOYMENTS, labelSelector="app=keda-operator")
        version = _keda_version(obj, operators)
        if version is None:
            yield Check("unknown", "KEDA is installed, but its version is unknown")
        elif version < OLDEST_KEDA:
            oldest = ".".join(map(str, OLDEST_KEDA))
            remedy = f"Upgrade it to {oldest} or newer, or set spec.transport.rabbitmq.urlSecretRef"
            yield bad(f"KEDA {version[0]}.{version[1]} does not read the user name for RabbitMQ by itself", remedy)
        else:
            yield good(f"KEDA {version[0]}.{version[1]} is installed")
        if operators and not any((d.get("status") or {}).get("readyReplicas") for d in operators):
            name, namespace = operators[0]["metadata"]["name"], operators[0]["metadata"]["namespace"]
            remedy = f"Check its pods: kubectl --namespace {namespace} describe deployment {name}"
            yield bad("KEDA does not run: its Deployment has no ready pod, so nothing is scaled", remedy)

    def _secrets(self) -> Iterator[Check]:
        referenced = {
            (obj["metadata"]["namespace"], ref["name"], ref["key"]) for obj in self._listed for ref in _secret_refs(obj)
        }
        missing = []
        for namespace, name, key in sorted(referenced):
            secret = self._client.get(resources.SECRETS, namespace, name)
            if secret is None or key not in (secret.get("data") or {}):
                missing.append((namespace, name, key))
        for namespace, name, key in missing:
            remedy = f"Create it: kubectl --namespace {namespace} create secret generic {name} --from-literal={key}=…"
            yield bad(f"an actor refers to the Secret {name!r} in {namespace!r} with the key {key!r}: missing", remedy)
        if referenced and not missing:
            yield good(f"all {len(referenced)} Secrets that actors refer to exist")

    def _actors(self) -> Iterator[Check]:
        actors = self._listed
        not_ready = [obj for obj in actors if condition(obj, "Ready").get("status") == "False"]
        for obj in not_ready[:10]:
            name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
            phase = (obj.get("status") or {}).get("phase")
            remedy = f"kubectl asya explain {name} --namespace {namespace}"
            yield bad(f"{_title(obj)}: {phase}", remedy)
        mismatched = [obj for obj in actors if condition(obj, QUEUE_CONSUMED).get("status") == "False"]
        for obj in mismatched[:10]:
            message, _, remedy = condition(obj, QUEUE_CONSUMED)["message"].partition(". ")
            yield bad(f"{_title(obj)}: {message}", remedy)
        warnings = [(obj, text) for obj in actors for text in (obj.get("status") or {}).get("warnings") or ()]
        for obj, text in warnings[:10]:
            yield Check("warning", f"{_title(obj)}: {text}")
        yield good(f"{len(actors) - len(not_ready)} of {len(actors)} actors have no problem")


def _title(actor: Object) -> str:
    return f"the AsyncActor {actor['metadata']['name']!r} in {actor['metadata']['namespace']!r}"


def _keda_version(crd: Object, operators: list[Object]) -> tuple[int, int] | None:
    images = [c["image"] for d in operators for c in d["spec"]["template"]["spec"]["containers"]]
    label = (crd["metadata"].get("labels") or {}).get("app.kubernetes.io/version", "")
    for text in (label, *images):
        version = re.search(r"(?:^|:)v?(\d+)\.(\d+)", text)
        if version:
            return int(version[1]), int(version[2])
    return None


def _secret_refs(actor: Object) -> Iterator[Object]:
    rabbitmq = (((actor.get("spec") or {}).get("transport") or {}).get("rabbitmq")) or {}
    for field in ("passwordSecretRef", "urlSecretRef"):
        if rabbitmq.get(field):
            yield rabbitmq[field]
