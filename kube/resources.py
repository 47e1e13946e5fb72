"""Lists the resources that the operator reads and writes, and builds their paths in the API."""

import re

from kube.failures import ApiError

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,251}[A-Za-z0-9])?")
"""Names that may stand in a path: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/"""


class Resource:
    """A resource of the API: its group and version, its kind and its plural name."""

    def __init__(self, api_version: str, kind: str, plural: str) -> None:
        self.api_version, self.kind, self.plural = api_version, kind, plural
        self._root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"

    def __repr__(self) -> str:
        return f"{self.plural}.{self.api_version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of the resource, or of one object.

        Raises:
            ApiError: code 404 if an object cannot have such a name, for example ``../other``. A user who writes such a
                name into a label therefore cannot reach another namespace.
        """
        for text in (namespace, name):
            if text and not NAME.fullmatch(text):
                raise ApiError(404, "NotFound", f"{text[:300]!r} is not a valid name of an object")
        parts = [self._root]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


ASYNC_ACTORS = Resource("asya.io/v1alpha1", "AsyncActor", "asyncactors")
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
SECRETS = Resource("v1", "Secret", "secrets")
EVENTS = Resource("v1", "Event", "events")
PODS = Resource("v1", "Pod", "pods")
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
STATEFUL_SETS = Resource("apps/v1", "StatefulSet", "statefulsets")
DAEMON_SETS = Resource("apps/v1", "DaemonSet", "daemonsets")
CRON_JOBS = Resource("batch/v1", "CronJob", "cronjobs")
JOBS = Resource("batch/v1", "Job", "jobs")
SCALED_OBJECTS = Resource("keda.sh/v1alpha1", "ScaledObject", "scaledobjects")
SCALED_JOBS = Resource("keda.sh/v1alpha1", "ScaledJob", "scaledjobs")
TRIGGER_AUTHENTICATIONS = Resource("keda.sh/v1alpha1", "TriggerAuthentication", "triggerauthentications")
MUTATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"
)
VALIDATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"
)
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases")
