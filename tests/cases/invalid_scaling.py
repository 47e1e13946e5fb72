"""Actors with a broker or scaling that KEDA or the sidecar would refuse, in the form of ``invalid_actors``."""

from typing import Any

RABBITMQ = "spec.transport.rabbitmq"
SCALING = "spec.scaling"
KEY = {"name": "s", "key": "k"}
ACCOUNT = "123456789012"
SQS = {
    "type": "sqs",
    "sqs": {"region": "eu-west-1", "queueBaseUrl": f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}"},
}
BASE_URL = "spec.transport.sqs.queueBaseUrl"
JOB = ("spec.workload.type", "Job")

Case = tuple[str, list[tuple[str, Any]], str]


def sqs(name: str, url: str, message: str) -> Case:
    """A case with an invalid queue base URL."""
    return name, [("spec.transport", SQS), (BASE_URL, url)], message


def host(name: str, value: str) -> Case:
    """A case with an invalid host."""
    return name, [(f"{RABBITMQ}.host", value)], "must be a host name"


def scaling(name: str, section: Any, message: str, *more: tuple[str, Any]) -> Case:
    """A case with an invalid section ``scaling``."""
    return name, [*more, (SCALING, section)], message


def trigger(name: str, one: Any, message: str) -> Case:
    """A case with an invalid additional trigger."""
    return scaling(name, {"triggers": [one]}, message)


BROKERS: list[Case] = [
    host("host with a port", "rabbitmq:5672"),
    host("host with a path", "rabbitmq/vhost"),
    host("host with a query", "rabbitmq?heartbeat=1"),
    host("host that is a URL", "amqp://rabbitmq"),
    host("IPv6 without brackets", "fd00::1"),
    ("virtual host with a space", [(f"{RABBITMQ}.vhost", "a b")], f"{RABBITMQ}.vhost"),
    (
        "certificate without a key",
        [(f"{RABBITMQ}.tls", {"certSecretRef": KEY})],
        "certSecretRef and keySecretRef together",
    ),
    ("management without a URL", [(f"{RABBITMQ}.management", {})], "exactly one of url and urlSecretRef"),
    (
        "management with a user",
        [(f"{RABBITMQ}.management", {"url": "http://u:p@rabbitmq:15672"})],
        "must be http(s)://<host>",
    ),
    (
        "management of a whole URL",
        [(RABBITMQ, {"urlSecretRef": KEY, "management": {"url": "http://rabbitmq:15672"}})],
        "urlSecretRef: holds the whole URL",
    ),
    sqs("sqs URL without an account", "https://sqs.eu-west-1.amazonaws.com", "must be https://<host>/<account>"),
    sqs(
        "sqs URL with a queue",
        f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/asya-a",
        "must be https://<host>/<account>",
    ),
    sqs(
        "sqs URL with a query",
        f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}?x=1",
        "must be https://<host>/<account>",
    ),
    sqs("sqs URL with a queue alone", "https://sqs.eu-west-1.amazonaws.com/asya-a", "must end with the account's 12"),
    sqs("sqs of another region", f"https://sqs.eu-central-1.amazonaws.com/{ACCOUNT}", "must be the region that"),
    sqs(
        "sqs of another region by a VPC endpoint",
        f"https://vpce-0a1b.sqs.us-east-1.vpce.amazonaws.com/{ACCOUNT}",
        "must be the region that",
    ),
]

SCALINGS: list[Case] = [
    scaling("idle replicas of a sleeper", {"idleReplicas": 0}, "idleReplicas: must be less than minReplicas"),
    scaling("idle replicas that KEDA lacks", {"idleReplicas": 1, "minReplicas": 2}, f"{SCALING}.idleReplicas"),
    scaling("fallback without a number", {"fallback": {"failureThreshold": 3}}, f"{SCALING}.fallback.replicas"),
    scaling(
        "negative fallback",
        {"fallback": {"failureThreshold": -1, "replicas": 1}},
        f"{SCALING}.fallback.failureThreshold",
    ),
    scaling("negative cooldown", {"cooldownPeriod": -1}, f"{SCALING}.cooldownPeriod"),
    scaling("negative first cooldown", {"initialCooldownPeriod": -1}, f"{SCALING}.initialCooldownPeriod"),
    scaling("negative activation", {"activationQueueLength": -1}, f"{SCALING}.activationQueueLength"),
    scaling(
        "a window of two hours",
        {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 7200}}},
        f"{SCALING}.behavior.scaleDown.stabilizationWindowSeconds",
    ),
    scaling(
        "a policy of nothing",
        {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 5}]}}},
        f"{SCALING}.behavior.scaleUp.policies[0].value",
    ),
    trigger("trigger without a type", {"metadata": {}}, f"{SCALING}.triggers[0].type"),
    trigger("trigger without metadata", {"type": "x"}, f"{SCALING}.triggers[0].metadata"),
    trigger("trigger with a number", {"type": "x", "metadata": {"value": 1}}, f"{SCALING}.triggers[0].metadata.value"),
    trigger(
        "cron without its end",
        {"type": "cron", "metadata": {"timezone": "UTC", "start": "0 8 * * *"}},
        "metadata.end: required by the trigger cron",
    ),
    trigger(
        "cpu without a metric type", {"type": "cpu", "metadata": {"value": "50"}}, "the triggers cpu and memory need"
    ),
    trigger(
        "utilization of a queue",
        {"type": "x", "metadata": {}, "metricType": "Utilization"},
        "Utilization is for the triggers cpu and memory",
    ),
    trigger(
        "cached cron",
        {
            "type": "cron",
            "metadata": {"timezone": "UTC", "start": "0 8 * * *", "end": "0 9 * * *", "desiredReplicas": "2"},
            "useCachedMetrics": True,
        },
        "not for the triggers cpu, memory and cron",
    ),
    scaling(
        "two triggers of a name",
        {"triggers": [{"type": "x", "metadata": {}, "name": "n"}] * 2},
        "triggers: names must be unique",
    ),
    scaling("identity of a broker", {"aws": {"identityOwner": "keda"}}, "scaling.aws: only with the transport sqs"),
    scaling(
        "role of the workload",
        {"aws": {"identityOwner": "workload", "roleArn": "arn:aws:iam::1:role/x"}},
        "roleArn: only KEDA itself",
        ("spec.transport", SQS),
    ),
    scaling(
        "identity of no account",
        {"aws": {"identityOwner": "workload"}},
        "workload.template.spec.serviceAccountName",
        ("spec.transport", SQS),
    ),
    scaling(
        "two authentications",
        {"aws": {"identityOwner": "keda"}, "authenticationRef": {"name": "x"}},
        "aws: authenticationRef already selects the identity",
        ("spec.transport", SQS),
    ),
    scaling("Jobs of a Deployment", {"job": {}}, "scaling.job: only with a workload of type Job"),
    scaling(
        "fallback of a Job",
        {"fallback": {"failureThreshold": 1, "replicas": 1}},
        "scaling.fallback: KEDA does not support this for Jobs",
        JOB,
    ),
    scaling(
        "metric type of a Job",
        {"triggers": [{"type": "x", "metadata": {}, "metricType": "Value"}]},
        "scaling.triggers[0].metricType: KEDA does not support this for Jobs",
        JOB,
    ),
    scaling(
        "custom strategy without a share",
        {"job": {"strategy": "custom"}},
        "customScalingRunningJobPercentage: required with strategy custom",
        JOB,
    ),
]
