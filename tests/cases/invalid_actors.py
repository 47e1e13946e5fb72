"""Invalid AsyncActors: each with its error, and the words that the refusal must contain.

The models and ``kubectl apply`` on every tier use these cases, so each rule is in both.
"""

import copy
from typing import Any

from tests.cases.invalid_scaling import BROKERS, SCALINGS
from tests.harness.space import actor

Object = dict[str, Any]
ABSENT = object()

SQS = {
    "type": "sqs",
    "sqs": {"region": "eu-west-1", "queueBaseUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012"},
}
CONTAINERS = "spec.workload.template.spec.containers"
PATH = "spec.workload.template.spec"
RESILIENCY = "spec.resiliency"

Case = tuple[str, list[tuple[str, Any]], str]
"""Each case: a name, changes to a valid actor (path and value), and the words of the refusal."""

CASES: list[Case] = [
    ("empty queue name", [("spec.queueName", "")], "spec.queueName"),
    ("queue name with a space", [("spec.queueName", "a b")], "spec.queueName"),
    ("queue name with a slash", [("spec.queueName", "../other")], "spec.queueName"),
    ("no transport", [("spec.transport", ABSENT)], "spec.transport"),
    ("no transport type", [("spec.transport.type", ABSENT)], "spec.transport.type"),
    ("unknown transport", [("spec.transport.type", "kafka")], "spec.transport.type"),
    ("section missing", [("spec.transport", {"type": "rabbitmq"})], "rabbitmq: required when type is rabbitmq"),
    ("sqs section missing", [("spec.transport", {"type": "sqs"})], "sqs: required when type is sqs"),
    ("other section too", [("spec.transport.sqs", SQS["sqs"])], "sqs: forbidden unless type is sqs"),
    ("rabbitmq without host", [("spec.transport.rabbitmq", {})], "host: required unless urlSecretRef is set"),
    ("host with a password", [("spec.transport.rabbitmq.host", "u:p@host")], "spec.transport.rabbitmq.host"),
    ("port too large", [("spec.transport.rabbitmq.port", 70000)], "spec.transport.rabbitmq.port"),
    ("port zero", [("spec.transport.rabbitmq.port", 0)], "spec.transport.rabbitmq.port"),
    ("port as text", [("spec.transport.rabbitmq.port", "5672")], "spec.transport.rabbitmq.port"),
    (
        "secret without key",
        [("spec.transport.rabbitmq.passwordSecretRef", {"name": "s"})],
        "spec.transport.rabbitmq.passwordSecretRef.key",
    ),
    (
        "secret of another namespace",
        [("spec.transport.rabbitmq.passwordSecretRef", {"name": "other/s", "key": "k"})],
        "spec.transport.rabbitmq.passwordSecretRef.name",
    ),
    (
        "url and host",
        [("spec.transport.rabbitmq.urlSecretRef", {"name": "s", "key": "k"})],
        "urlSecretRef: holds the whole URL",
    ),
    (
        "sqs without region",
        [("spec.transport", SQS), ("spec.transport.sqs.region", ABSENT)],
        "spec.transport.sqs.region",
    ),
    (
        "sqs with a URL that is none",
        [("spec.transport", SQS), ("spec.transport.sqs.queueBaseUrl", "sqs.amazonaws.com/1")],
        "spec.transport.sqs.queueBaseUrl",
    ),
    (
        "sqs URL with a trailing slash",
        [("spec.transport", SQS), ("spec.transport.sqs.queueBaseUrl", "https://sqs.amazonaws.com/1/")],
        "spec.transport.sqs.queueBaseUrl",
    ),
    (
        "long poll too long",
        [("spec.transport", SQS), ("spec.transport.sqs.waitTimeSeconds", 21)],
        "spec.transport.sqs.waitTimeSeconds",
    ),
    (
        "visibility below zero",
        [("spec.transport", SQS), ("spec.transport.sqs.visibilityTimeout", -1)],
        "spec.transport.sqs.visibilityTimeout",
    ),
    ("unknown pull policy", [("spec.sidecar", {"imagePullPolicy": "Sometimes"})], "spec.sidecar.imagePullPolicy"),
    ("env without a name", [("spec.sidecar", {"env": [{"value": "x"}]})], "spec.sidecar.env[0].name"),
    ("unknown generation", [("spec.sidecar", {"generation": "grpc"})], "spec.sidecar.generation"),
    ("end actor as text", [("spec.sidecar", {"endActor": "true"})], "spec.sidecar.endActor"),
    ("activation as text", [("spec.socket", {"activation": "no"})], "spec.socket.activation"),
    ("Job's end of a Deployment", [("spec.workload.job", {"messages": 2})], "job: only a Job has it"),
    *(
        (f"a Job of {field}: {value}", [("spec.workload.type", "Job"), ("spec.workload.job", {field: value})], field)
        for field, value in (("messages", 0), ("idleSeconds", 0), ("messages", "1"))
    ),
    *(
        (
            f"a policy of {field}: {value!r}",
            [(RESILIENCY, {"policies": {"p": {field: value}}})],
            f"{RESILIENCY}.policies",
        )
        for field, value in (
            ("maxAttempts", 0),
            ("maxAttempts", "3"),
            ("backoff", "random"),
            ("initialDelay", "1"),
            ("initialDelay", "-1s"),
            ("initialDelay", "one second"),
            ("maxInterval", "5 m"),
            ("maxDuration", "99999999h"),
            ("maxDuration", ""),
            ("jitter", "yes"),
            ("onExhausted", []),
            ("onExhausted", ["Not A Name"]),
            ("onExhausted", "recovery"),
        )
    ),
    ("a policy without a name", [(RESILIENCY, {"policies": {"": {}}})], "policies: each needs a name"),
    (
        "a rule of an unknown policy",
        [(RESILIENCY, {"policies": {"a": {}}, "rules": [{"errors": ["ValueError"], "policy": "b"}]})],
        "rules: each must name one of the policies",
    ),
    (
        "rules without policies",
        [(RESILIENCY, {"rules": [{"errors": ["ValueError"], "policy": "b"}]})],
        "rules: each must name one of the policies",
    ),
    (
        "a rule without errors",
        [(RESILIENCY, {"policies": {"a": {}}, "rules": [{"errors": [], "policy": "a"}]})],
        f"{RESILIENCY}.rules[0].errors",
    ),
    (
        "a rule without a policy",
        [(RESILIENCY, {"policies": {"a": {}}, "rules": [{"errors": ["ValueError"]}]})],
        f"{RESILIENCY}.rules[0].policy",
    ),
    ("relative socket", [("spec.socket", {"path": "app.sock"})], "spec.socket.path"),
    ("socket in the root", [("spec.socket", {"path": "/app.sock"})], "spec.socket.path"),
    ("socket path too long", [("spec.socket", {"path": "/" + "d" * 110 + "/s"})], "spec.socket.path"),
    ("socket path upwards", [("spec.socket", {"path": "/tmp/../etc/s.sock"})], "spec.socket.path"),
    ("size that is no number", [("spec.socket", {"maxSize": "10Mi"})], "spec.socket.maxSize"),
    ("no time to process", [("spec.timeout", {"processing": 0})], "spec.timeout.processing"),
    ("negative shutdown", [("spec.timeout", {"gracefulShutdown": -1})], "spec.timeout.gracefulShutdown"),
    (
        "min above max",
        [("spec.scaling", {"minReplicas": 5, "maxReplicas": 3})],
        "minReplicas: must not be greater than maxReplicas",
    ),
    *BROKERS,
    *SCALINGS,
    ("max of zero", [("spec.scaling", {"maxReplicas": 0})], "spec.scaling.maxReplicas"),
    ("queue length of zero", [("spec.scaling", {"queueLength": 0})], "spec.scaling.queueLength"),
    ("no workload", [("spec.workload", ABSENT)], "spec.workload"),
    ("unknown workload", [("spec.workload.type", "DaemonSet")], "spec.workload.type"),
    ("negative replicas", [("spec.workload.replicas", -1)], "spec.workload.replicas"),
    ("template that is no pod's", [(f"{PATH}", ["x"])], "spec.workload.template.spec"),
    ("volumes that are no list", [(f"{PATH}.volumes", "x")], "spec.workload.template.spec.volumes"),
    ("environment of numbers", [(f"{CONTAINERS}", [{"name": "a", "env": [7]}])], "env"),
    ("neither template nor name", [("spec.workload", {"type": "Deployment"})], "template: required unless name"),
    (
        "claims of a Deployment",
        [("spec.workload.volumeClaimTemplates", [{"metadata": {"name": "d"}}])],
        "volumeClaimTemplates: only a StatefulSet has them",
    ),
    (
        "scaled Job without a template",
        [("spec.workload", {"type": "Job", "name": "j"}), ("spec.scaling", {"enabled": True})],
        "workload.template: required to scale a Job",
    ),
    ("no containers", [(CONTAINERS, [])], CONTAINERS),
    ("two containers and no runtime", [(CONTAINERS, [{"name": "a"}, {"name": "b"}])], f"{CONTAINERS}: which one"),
    ("a container named sidecar", [(CONTAINERS, [{"name": "sidecar"}, {"name": "runtime"}])], CONTAINERS),
    (
        "a mount of ours that is taken",
        [(f"{CONTAINERS}.0.volumeMounts", [{"name": "x", "mountPath": "/var/run/asya"}])],
        "/var/run/asya is taken by the volume 'x'",
    ),
    (
        "a volume of ours that is taken",
        [(f"{PATH}.volumes", [{"name": "asya-socket", "hostPath": {"path": "/x"}}])],
        f"{PATH}.volumes",
    ),
    ("a pod for Windows", [(f"{PATH}.os", {"name": "windows"})], f"{PATH}.os"),
    ("a name that is no label value", [("metadata.name", "a" * 64)], "at most 63 characters"),
    (
        "a StatefulSet's name that is too long for its pods' labels",
        [("metadata.name", "a" * 53), ("spec.workload.type", "StatefulSet")],
        "the name of a StatefulSet must be at most 52 characters without a dot",
    ),
    (
        "a StatefulSet's name with a dot",
        [("spec.workload.name", "a.b"), ("spec.workload.type", "StatefulSet")],
        "the name of a StatefulSet must be at most 52 characters without a dot",
    ),
    (
        "a name too long for KEDA's HorizontalPodAutoscaler",
        [("metadata.name", "a" * 55), ("spec.scaling", {"enabled": True})],
        "must be at most 54 characters while scaling is enabled",
    ),
]


def invalid(changes: list[tuple[str, Any]]) -> Object:
    """A valid actor with ``changes``."""
    obj = copy.deepcopy(actor("a"))
    for path, value in changes:
        *parents, last = path.split(".")
        node: Any = obj
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node[part]
        if value is ABSENT:
            del node[last]
        else:
            node[last] = copy.deepcopy(value)
    return obj
