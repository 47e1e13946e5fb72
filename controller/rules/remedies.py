"""What to do about each thing that can be wrong.

A condition's message ends with its remedy, ``asya-operator explain`` shows it, and the page on troubleshooting
lists them all: one sentence each, written here once. Words in braces are filled in.
"""

from dataclasses import dataclass
from typing import Final

from crds.names import OPERATOR

NAMESPACE: Final = "asya-system"
"""Where the operator is unless it says otherwise."""


@dataclass(frozen=True)
class Remedy:
    """What is seen, where it is one of several causes of a reason, and what to do."""

    symptom: str
    do: str


REMEDIES: Final[dict[str, Remedy]] = {
    "InjectionDenied": Remedy(
        "the workload cannot be injected rightly: the message names the field",
        "Correct that field of spec.workload.template, or of the workload",
    ),
    "WebhookUnavailable": Remedy(
        "the webhook does not answer, or its certificate is not trusted",
        "Check the Deployment {operator}-webhook (kubectl --namespace {operator_namespace} get pods) and its "
        "certificate (asya-operator certs show{options}). It is tried again by itself",
    ),
    "NotInjected": Remedy(
        "the workload came back without a sidecar, so admission did not ask the webhook",
        "Check that the MutatingWebhookConfiguration {operator} exists and does not exclude this namespace",
    ),
    "InjectionOutdated": Remedy(
        "the webhook goes on injecting another plan than the controller expects",
        "Check that the Deployments {operator} and {operator}-webhook run the same image with the same settings, "
        "and that the ConfigMap asya-runtime of the operator's namespace is the operator's own. It is tried again by "
        "itself, ever more slowly",
    ),
    "OptedOut": Remedy(
        "the template of the actor, or its workload, says asya.io/inject: disabled",
        "Take asya.io/inject off spec.workload.template.metadata, or off the workload that bears it",
    ),
    "DeletionBlocked": Remedy(
        "a deleted actor stays, since an object of KEDA's that must go first does not",
        "Start KEDA's operator, whose finalizer it is, or take that off: kubectl patch {kind} {name} --type merge -p "
        '\'{{"metadata":{{"finalizers":null}}}}\'',
    ),
    "WorkloadNotFound": Remedy(
        "spec.workload.name names a workload that is not there",
        "Create it, or give spec.workload.template",
    ),
    "WorkloadNotLabelled": Remedy(
        "the workload that spec.workload.name names does not bear the actor's label",
        "Run: kubectl label {kind} {name} asya.io/actor={actor}",
    ),
    "WorkloadNotOwned": Remedy(
        "a workload of that name exists and was not made for this AsyncActor, nor for one of its name and shape before",
        "Rename the AsyncActor, set spec.workload.name to another name, or leave spec.workload.template out to use "
        "the existing one",
    ),
    "InvalidWorkload": Remedy("the API server refuses the workload", "Correct spec.workload"),
    "InvalidStatefulSet": Remedy(
        "the API server refuses a change of a StatefulSet (reason InvalidWorkload)",
        "Most fields of a StatefulSet, its volumeClaimTemplates among them, cannot change: put the old values back, or "
        "delete the StatefulSet yourself (kubectl delete statefulset --cascade=orphan keeps its pods) and it is made "
        "anew. Nothing was deleted",
    ),
    "WorkloadForbidden": Remedy(
        "a policy, a quota, somebody's webhook or a missing right refuses the workload",
        "Mend what the message names, with whoever owns the policy, the quota, the webhook or the role",
    ),
    "WorkloadError": Remedy(
        "the workload exists and cannot make its pods", "Mend what refuses them: a quota, a policy, or a webhook"
    ),
    "Contested": Remedy(
        "something else keeps changing an object of the operator's",
        "Have the other stop (kubectl get {kind} {name} -o yaml --show-managed-fields tells who it is), or make the "
        "change in the AsyncActor",
    ),
    "InvalidSpec": Remedy(
        "a stored AsyncActor breaks today's rules", "Correct the fields of the AsyncActor that the message names"
    ),
    "ImagePullError": Remedy(
        "an image cannot be pulled",
        "Check the image's name and tag, and that the cluster may pull it (imagePullSecrets)",
    ),
    "ConfigError": Remedy(
        "a pod needs a Secret or ConfigMap, or a key of one, that is not there",
        "Create the Secret or ConfigMap, or correct its name and key in the AsyncActor",
    ),
    "VolumeError": Remedy(
        "a volume cannot be bound, attached or mounted",
        "Check the PersistentVolumeClaims and their storage class: kubectl get pvc; kubectl describe pod {name}",
    ),
    "RuntimeError": Remedy(
        "your container ends or does not start",
        "Read its last words: kubectl logs {name} -c {container} (with --previous if it was restarted)",
    ),
    "OOMKilled": Remedy(
        "a container used more memory than its limit (phase RuntimeError or SidecarError)",
        "Raise resources.limits.memory of the container {container}, or have it use less memory. Its last words: "
        "kubectl logs {name} -c {container} --previous",
    ),
    "Degraded": Remedy(
        "pods run and have not been ready for five minutes",
        "See which probe fails: kubectl describe pod {name}; and why: kubectl logs {name} -c {container}",
    ),
    "SidecarError": Remedy(
        "the sidecar ends or does not start",
        "Read its last words: kubectl logs {name} -c sidecar (with --previous if it was restarted). It ends when it "
        "cannot reach its queue, so check spec.transport and the credentials that it names. A password with any of "
        "@ / : # % works for released sidecars only in a percent-encoded urlSecretRef",
    ),
    "PendingResources": Remedy(
        "no node has room for a pod",
        "Ask for less in resources.requests, or add nodes; kubectl describe pod {name} says what is short",
    ),
    "KEDANotInstalled": Remedy(
        "scaling is enabled and there is no KEDA",
        "Install KEDA (https://keda.sh/docs/latest/deploy/), which is noticed by itself, or set spec.scaling.enabled "
        "to false",
    ),
    "QueueMismatch": Remedy(
        "the actor's sidecar consumes another queue than the one in spec.queueName, whose messages nobody takes",
        "Leave spec.queueName out, or set it to {consumed}; send messages there. Should the sidecar be of another "
        "generation than its image's tag says, set spec.sidecar.generation",
    ),
    "QueueMissing": Remedy(
        "KEDA cannot read the length of a RabbitMQ queue that is not there (reason ScaledObjectNotReady)",
        "The queue {queue} does not exist: create it in {broker}, durable, without arguments, and bound to the "
        "exchange {exchange}; or set spec.scaling.minReplicas to 1, since sidecars of the http generation declare it "
        "when they start. Whether the binding is there cannot be seen from here: rabbitmqctl list_bindings",
    ),
    "QueueMissingSQS": Remedy(
        "KEDA cannot read the length of an SQS queue that is not there (reason ScaledObjectNotReady)",
        "The queue {queue} does not exist: create it under {where}, or correct spec.transport.sqs and spec.queueName",
    ),
    "ExchangeMissing": Remedy(
        "the exchange that sidecars send to does not exist (reason ScaledObjectNotReady, or phase SidecarError)",
        "Declare the exchange {exchange} in RabbitMQ, durable and of type topic, and bind each queue to it by its "
        "actor's name. Whether the bindings are there cannot be seen from here: rabbitmqctl list_bindings",
    ),
    "VhostMissing": Remedy(
        "the virtual host does not exist, or is not the user's (reason ScaledObjectNotReady, or phase SidecarError)",
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
        "Check that {broker} at {where} runs and can be reached from KEDA's namespace and from the pods: name and "
        "port, NetworkPolicies, and the certificate authority where TLS is used",
    ),
    "ScalingError": Remedy(
        "KEDA cannot read the queue's length (reason ScaledObjectNotReady or ScaledObjectFallback)",
        "Check that the queue {queue} exists in {broker}, that KEDA can reach it from its own namespace, and the "
        "credentials that spec.transport names",
    ),
    "NotObserved": Remedy(
        "KEDA has not looked at a ScaledObject or ScaledJob for a minute (reason ScaledObjectNotObserved)",
        "Check that KEDA runs and watches this namespace: kubectl get pods --all-namespaces -l app=keda-operator; "
        "asya-operator doctor{options}",
    ),
    "AutoscalerNotActive": Remedy(
        "KEDA's HorizontalPodAutoscaler gets no metrics, so nothing is scaled beyond the first pod",
        "See what it says: kubectl describe hpa {name}; and that KEDA's metrics server runs: kubectl get apiservice "
        "v1beta1.external.metrics.k8s.io",
    ),
    "ScalingPaused": Remedy(
        "an annotation of KEDA's pauses scaling, which is no error (phase Paused)",
        "To go on, set spec.scaling.paused to false (kubectl asya resume) or, if somebody else set it, run: "
        "kubectl annotate {kind} {name} {annotation}-",
    ),
    "ScalerNotOwned": Remedy(
        "a ScaledObject or TriggerAuthentication of that name exists and was not made for this AsyncActor",
        "Delete it, or rename the AsyncActor",
    ),
    "ScalerRefused": Remedy(
        "the API server, or KEDA's own webhook, refuses the ScaledObject or the TriggerAuthentication",
        "Mend what the message names: another ScaledObject or a HorizontalPodAutoscaler of the same workload, a quota "
        "or a policy",
    ),
    "RuntimeUnavailable": Remedy(
        "the operator has no runtime script at all",
        "Check the settings runtime.source and those beside it, and what they name. It is tried again by itself",
    ),
    "RuntimeSourceFailed": Remedy(
        "the runtime script's source fails, and the last good script stays in use",
        "Check the settings runtime.source and those beside it, and what they name. It is tried again by itself",
    ),
    "ConfigMapNotOwned": Remedy(
        "the namespace has a ConfigMap asya-runtime that is not the operator's",
        "Delete it or rename it, so that injected pods mount the operator's script",
    ),
    "ConfigMapRefused": Remedy(
        "the API server refuses the ConfigMap asya-runtime, without which no injected pod starts",
        "Mend what the message names, a quota or a policy, with whoever owns it",
    ),
}


_own = {"operator": OPERATOR, "operator_namespace": NAMESPACE, "options": ""}
"""What the operator is called and where it is, for all remedies, and the options that tell its commands so."""


def remedy(cause: str, **words: str) -> str:
    """What to do about ``cause``, with its words filled in."""
    return REMEDIES[cause].do.format_map({**_own, **words})


def set_operator(namespace: str, name: str = OPERATOR) -> None:
    """Set the namespace and the name of the operator that all later remedies mention."""
    _own.update({"operator": name, "operator_namespace": namespace, "options": options(namespace, name)})


def options(namespace: str, name: str) -> str:
    """What tells ``asya-operator doctor`` and ``certs show`` of an operator that is elsewhere, or called otherwise."""
    elsewhere = "" if namespace == NAMESPACE else f" --namespace {namespace}"
    return elsewhere + ("" if name == OPERATOR else f" --name {name}")


def general(cause: str) -> str:
    """What to do about ``cause`` in general: the words in capitals, as in a manual."""
    return REMEDIES[cause].do.format_map(_Capitals({"operator": OPERATOR, "options": ""}))


class _Capitals(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return key.upper()
