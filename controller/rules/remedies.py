"""The remedies, one for each failure.

Each text is written here once. A condition's message ends with its remedy, ``asya-operator explain`` shows it, and the
page on troubleshooting lists them all. Words in braces are placeholders.
"""

from dataclasses import dataclass
from typing import Final

from crds.names import OPERATOR

NAMESPACE: Final = "asya-system"
"""The operator's default namespace."""


@dataclass(frozen=True)
class Remedy:
    """A failure and its remedy."""

    symptom: str
    """The symptom. It names the condition's reason or phase if those differ from the remedy's name."""
    do: str
    """The remedy, in the imperative."""


REMEDIES: Final[dict[str, Remedy]] = {
    "InjectionDenied": Remedy(
        "the webhook refuses the workload; the message names the field",
        "Correct that field of spec.workload.template, or of the workload",
    ),
    "WebhookUnavailable": Remedy(
        "the webhook does not answer, or its certificate is not trusted",
        "Check the Deployment {operator}-webhook (kubectl --namespace {operator_namespace} get pods) and its "
        "certificate (asya-operator certs show{options}). The operator retries by itself",
    ),
    "NotInjected": Remedy(
        "the workload has no sidecar after the write, so admission did not call the webhook",
        "Check that the MutatingWebhookConfiguration {operator} exists and does not exclude this namespace",
    ),
    "InjectionOutdated": Remedy(
        "the webhook keeps injecting another plan than the controller expects",
        "Check that the Deployments {operator} and {operator}-webhook run the same image with the same settings, "
        "and that the operator owns the ConfigMap asya-runtime of its namespace. The operator retries by itself, "
        "with a growing backoff",
    ),
    "OptedOut": Remedy(
        "the actor's template or its workload has asya.io/inject: disabled",
        "Remove asya.io/inject from spec.workload.template.metadata, or from the workload that carries it",
    ),
    "DeletionBlocked": Remedy(
        "a deleted actor still exists, because one of KEDA's objects must be deleted first and is not",
        "Start KEDA's operator, which removes its finalizer; or remove the finalizer yourself: "
        'kubectl patch {kind} {name} --type merge -p \'{{"metadata":{{"finalizers":null}}}}\'',
    ),
    "WorkloadNotFound": Remedy(
        "spec.workload.name names a workload that does not exist",
        "Create the workload, or set spec.workload.template",
    ),
    "WorkloadNotLabelled": Remedy(
        "the workload that spec.workload.name names does not carry the actor's label",
        "Run: kubectl label {kind} {name} asya.io/actor={actor}",
    ),
    "WorkloadNotOwned": Remedy(
        "a workload of that name exists, and the AsyncActor neither owns it nor can adopt it",
        "Rename the AsyncActor, set spec.workload.name to another name, or remove spec.workload.template to use the "
        "existing workload",
    ),
    "InvalidWorkload": Remedy("the API server refuses the workload", "Correct spec.workload"),
    "InvalidStatefulSet": Remedy(
        "the API server refuses a change of a StatefulSet (reason InvalidWorkload)",
        "Most fields of a StatefulSet cannot change, volumeClaimTemplates among them. Restore the old values, or "
        "delete the StatefulSet yourself (kubectl delete statefulset --cascade=orphan keeps its pods): the operator "
        "then creates a new one. Nothing was deleted",
    ),
    "WorkloadForbidden": Remedy(
        "a policy, a quota, another webhook or a missing right refuses the workload",
        "Change the policy, the quota, the webhook or the role that the message names, or ask its owner to do so",
    ),
    "WorkloadError": Remedy(
        "the workload exists and cannot create its pods",
        "Change the quota, the policy or the webhook that refuses the pods",
    ),
    "Contested": Remedy(
        "another writer keeps changing one of the operator's objects",
        "Find the other writer (kubectl get {kind} {name} -o yaml --show-managed-fields) and stop it, or make the "
        "change in the AsyncActor",
    ),
    "InvalidSpec": Remedy(
        "a stored AsyncActor is not valid by the current rules",
        "Correct the fields of the AsyncActor that the message names",
    ),
    "ImagePullError": Remedy(
        "an image cannot be pulled",
        "Check the image's name and tag, and that the cluster may pull it (imagePullSecrets)",
    ),
    "ConfigError": Remedy(
        "a pod needs a Secret or ConfigMap, or a key of one, that does not exist",
        "Create the Secret or ConfigMap, or correct its name and key in the AsyncActor",
    ),
    "VolumeError": Remedy(
        "a volume cannot be bound, attached or mounted",
        "Check the PersistentVolumeClaims and their storage class: kubectl get pvc; kubectl describe pod {name}",
    ),
    "RuntimeError": Remedy(
        "your container ends or does not start",
        "Read its log: kubectl logs {name} -c {container} (add --previous if it was restarted)",
    ),
    "OOMKilled": Remedy(
        "a container used more memory than its limit (phase RuntimeError or SidecarError)",
        "Raise resources.limits.memory of the container {container}, or make it use less memory. Its log: "
        "kubectl logs {name} -c {container} --previous",
    ),
    "Degraded": Remedy(
        "pods run but have not been ready for five minutes",
        "See which probe fails: kubectl describe pod {name}; see why: kubectl logs {name} -c {container}",
    ),
    "SidecarError": Remedy(
        "the sidecar ends or does not start",
        "Read its log: kubectl logs {name} -c sidecar (add --previous if it was restarted). The sidecar ends when it "
        "cannot reach its queue, so check spec.transport and the credentials that it names. Released sidecars accept "
        "a password with any of @ / : # % only in a percent-encoded urlSecretRef",
    ),
    "PendingResources": Remedy(
        "no node has room for a pod",
        "Lower resources.requests, or add nodes; kubectl describe pod {name} says which resource is short",
    ),
    "KEDANotInstalled": Remedy(
        "scaling is enabled and KEDA is not installed",
        "Install KEDA (https://keda.sh/docs/latest/deploy/), which the operator notices by itself, or set "
        "spec.scaling.enabled to false",
    ),
    "QueueMismatch": Remedy(
        "spec.queueName names another queue than the sidecar consumes, so its messages stay there",
        "Remove spec.queueName or set it to {consumed}, and send messages to that queue. If the sidecar is of another "
        "generation than its image's tag says, set spec.sidecar.generation",
    ),
    "QueueMissing": Remedy(
        "KEDA cannot read the length of a RabbitMQ queue that does not exist (reason ScaledObjectNotReady)",
        "The queue {queue} does not exist: create it in {broker}, durable, without arguments, and bound to the "
        "exchange {exchange}; or set spec.scaling.minReplicas to 1, since sidecars of the http generation declare it "
        "when they start. The operator cannot check the binding: rabbitmqctl list_bindings",
    ),
    "QueueMissingSQS": Remedy(
        "KEDA cannot read the length of an SQS queue that does not exist (reason ScaledObjectNotReady)",
        "The queue {queue} does not exist: create it under {where}, or correct spec.transport.sqs and spec.queueName",
    ),
    "ExchangeMissing": Remedy(
        "the exchange that sidecars send to does not exist (reason ScaledObjectNotReady, or phase SidecarError)",
        "Declare the exchange {exchange} in RabbitMQ, durable and of type topic, and bind each queue to it by its "
        "actor's name. The operator cannot check the bindings: rabbitmqctl list_bindings",
    ),
    "VhostMissing": Remedy(
        "the virtual host does not exist, or the user may not use it (reason ScaledObjectNotReady, or phase "
        "SidecarError)",
        "Create the virtual host that spec.transport.rabbitmq names, and give its user the right to use it "
        "(rabbitmqctl set_permissions)",
    ),
    "AccessDenied": Remedy(
        "RabbitMQ refuses the user or the password (reason ScaledObjectNotReady, or phase SidecarError)",
        "Correct the user and the Secret that spec.transport.rabbitmq names, and give the user the right to read the "
        "queue {queue} (rabbitmqctl set_permissions)",
    ),
    "AccessDeniedSQS": Remedy(
        "AWS refuses the identity (reason ScaledObjectNotReady, or phase SidecarError)",
        "Give the identity (IRSA or EKS pod identity) of KEDA's operator sqs:GetQueueAttributes on the queue {queue}, "
        "and that of the pods sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility, sqs:SendMessage, "
        "sqs:GetQueueUrl and sqs:GetQueueAttributes",
    ),
    "BrokerUnreachable": Remedy(
        "the broker does not answer (reason ScaledObjectNotReady, or phase SidecarError)",
        "Check that {broker} at {where} runs, and that KEDA's namespace and the pods can reach it: name and port, "
        "NetworkPolicies, and the certificate authority if it uses TLS",
    ),
    "ScalingError": Remedy(
        "KEDA cannot read the queue's length (reason ScaledObjectNotReady or ScaledObjectFallback)",
        "Check that the queue {queue} exists in {broker}, that KEDA can reach it from its own namespace, and that the "
        "credentials in spec.transport are right",
    ),
    "NotObserved": Remedy(
        "KEDA has not processed a new ScaledObject or ScaledJob for a minute (reason ScaledObjectNotObserved)",
        "Check that KEDA runs and watches this namespace: kubectl get pods --all-namespaces -l app=keda-operator; "
        "asya-operator doctor{options}",
    ),
    "AutoscalerNotActive": Remedy(
        "KEDA's HorizontalPodAutoscaler gets no metrics, so the actor never has more than one pod",
        "Read its conditions: kubectl describe hpa {name}; check that KEDA's metrics server runs: kubectl get "
        "apiservice v1beta1.external.metrics.k8s.io",
    ),
    "ScalingPaused": Remedy(
        "an annotation of KEDA's pauses scaling; this is no error (phase Paused)",
        "To resume, set spec.scaling.paused to false (kubectl asya resume). If the annotation is not the operator's, "
        "run: kubectl annotate {kind} {name} {annotation}-",
    ),
    "ScalerNotOwned": Remedy(
        "a ScaledObject, a TriggerAuthentication or the ConfigMap asya-keda exists, and the operator does not own it",
        "Delete it, or rename the AsyncActor",
    ),
    "ScalerRefused": Remedy(
        "the API server, or KEDA's own webhook, refuses the ScaledObject or the TriggerAuthentication",
        "Change what the message names: another ScaledObject or HorizontalPodAutoscaler of the same workload, a quota "
        "or a policy",
    ),
    "RuntimeUnavailable": Remedy(
        "the operator has no runtime script",
        "Check the settings runtime.* and the file or release that they name. The operator retries by itself",
    ),
    "RuntimeSourceFailed": Remedy(
        "the runtime script's source fails, and the last good script stays in use",
        "Check the settings runtime.* and the file or release that they name. The operator retries by itself",
    ),
    "ConfigMapNotOwned": Remedy(
        "the namespace has a ConfigMap asya-runtime that the operator does not own",
        "Delete or rename it; injected pods mount the operator's script then",
    ),
    "ConfigMapRefused": Remedy(
        "the API server refuses the ConfigMap asya-runtime; without it, no injected pod starts",
        "Change the quota or the policy that the message names, or ask its owner to do so",
    ),
}


_own = {"operator": OPERATOR, "operator_namespace": NAMESPACE, "options": ""}
"""Values of placeholders in all remedies: the operator's name and namespace, and the options that name these."""


def remedy(cause: str, **words: str) -> str:
    """The remedy for ``cause``, with its placeholders replaced by ``words``."""
    return REMEDIES[cause].do.format_map({**_own, **words})


def set_operator(namespace: str, name: str = OPERATOR) -> None:
    """Set the namespace and the name of the operator that all later remedies mention."""
    _own.update({"operator": name, "operator_namespace": namespace, "options": options(namespace, name)})


def options(namespace: str, name: str) -> str:
    """The options of ``asya-operator doctor`` and ``certs show`` for an operator with this namespace and name.

    Empty for the defaults; else they begin with a space.
    """
    namespace_option = "" if namespace == NAMESPACE else f" --namespace {namespace}"
    return namespace_option + ("" if name == OPERATOR else f" --name {name}")


def general(cause: str) -> str:
    """The remedy for ``cause``, for the manual: the names of placeholders in capitals."""
    return REMEDIES[cause].do.format_map(_Capitals({"operator": OPERATOR, "options": ""}))


class _Capitals(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return key.upper()
