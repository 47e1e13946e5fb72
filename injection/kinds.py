"""Lists the resources with a pod template, and the place of the template in each."""

from dataclasses import dataclass
from typing import Any, Final

from kube.objects import Object


@dataclass(frozen=True)
class Kind:
    """A resource with a pod template: the template's path, and whether its pods are meant to complete."""

    name: str
    path: tuple[str, ...]
    job: bool = False
    scaled: bool = False
    """Whether KEDA starts Jobs from it."""

    def template(self, workload: Object) -> Object | None:
        """Return the pod template of ``workload``, or None if it has none."""
        node: Any = workload
        for part in self.path:
            node = node.get(part) if isinstance(node, dict) else None
        return node if isinstance(node, dict) else None


KINDS: Final[dict[tuple[str, str], Kind]] = {
    ("", "pods"): Kind("Pod", ()),
    ("apps", "deployments"): Kind("Deployment", ("spec", "template")),
    ("apps", "statefulsets"): Kind("StatefulSet", ("spec", "template")),
    ("apps", "daemonsets"): Kind("DaemonSet", ("spec", "template")),
    ("batch", "jobs"): Kind("Job", ("spec", "template"), job=True),
    ("batch", "cronjobs"): Kind("CronJob", ("spec", "jobTemplate", "spec", "template"), job=True),
    ("keda.sh", "scaledjobs"): Kind("ScaledJob", ("spec", "jobTargetRef", "template"), job=True, scaled=True),
}
"""Every resource that admission injects, by API group and plural name."""
