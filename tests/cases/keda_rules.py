"""The rules by which KEDA refuses objects, at admission or when it builds a scaler.

They follow KEDA's documentation of ScaledObject, ScaledJob, TriggerAuthentication and the two queue scalers. So tests
can check an actor's objects without KEDA.
"""

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

Object = dict[str, Any]

FROM_METADATA = {
    "rabbitmq": {
        *("queueName", "mode", "value", "queueLength", "activationValue", "host", "hostFromEnv", "protocol"),
        *("vhostName", "useRegex", "excludeUnacknowledged", "pageSize", "operation", "timeout", "unsafeSsl"),
        *("usernameFromEnv", "passwordFromEnv"),
    },
    "aws-sqs-queue": {
        *("queueLength", "activationQueueLength", "queueURL", "queueURLFromEnv", "awsRegion", "awsEndpoint"),
        *("scaleOnInFlight", "scaleOnDelayed", "identityOwner"),
    },
}
"""Parameters that a scaler reads from the trigger itself."""
FROM_AUTHENTICATION = {
    "rabbitmq": {"host", "protocol", "vhostName", "username", "password", "ca", "cert", "key", "keyPassword", "tls"},
    "aws-sqs-queue": {"awsRegion", "awsRoleArn", "awsAccessKeyID", "awsSecretAccessKey", "awsSessionToken"},
}
"""Parameters that a scaler reads from a TriggerAuthentication."""


def refusals(objects: Iterable[Object]) -> list[str]:
    """Why KEDA would refuse any of an actor's ``objects``."""
    by_kind = {obj["kind"]: obj for obj in objects}
    return list(_refusals(by_kind))


def _refusals(by_kind: dict[str, Object]) -> Iterator[str]:
    authentication = by_kind.get("TriggerAuthentication")
    if authentication is not None:
        yield from _authentication(authentication["spec"])
    for kind in ("ScaledObject", "ScaledJob"):
        obj = by_kind.get(kind)
        if obj is None:
            continue
        spec = obj["spec"]
        yield from _replicas(spec)
        yield from _triggers(spec["triggers"], jobs=kind == "ScaledJob")
        yield from _of_object(obj) if kind == "ScaledObject" else _of_job(spec)
        yield from _queue_scaler(spec["triggers"][0], authentication, by_kind.get("ConfigMap"))


def _replicas(spec: Object) -> Iterator[str]:
    least, most = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    if least > most:
        yield f"minReplicaCount {least} above maxReplicaCount {most}"
    if "idleReplicaCount" in spec and spec["idleReplicaCount"] >= least:
        yield f"idleReplicaCount {spec['idleReplicaCount']} not below minReplicaCount {least}"
    if spec.get("pollingInterval", 30) < 1:
        yield "pollingInterval below 1"
    for name in ("cooldownPeriod", "initialCooldownPeriod"):
        if spec.get(name, 0) < 0:
            yield f"{name} below 0"


def _of_object(obj: Object) -> Iterator[str]:
    spec, name = obj["spec"], obj["metadata"]["name"]
    hpa = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {})
    if len(name) > 63 or len(hpa.get("name") or f"keda-hpa-{name}") > 63:
        yield "the name of its HorizontalPodAutoscaler is longer than 63 characters"
    fallback = spec.get("fallback")
    if fallback is not None:
        if fallback["failureThreshold"] < 0 or fallback["replicas"] < 0:
            yield "fallback below 0"
        if all(t["type"] in ("cpu", "memory") for t in spec["triggers"]):
            yield "a fallback needs a trigger other than cpu and memory"
    for way, rules in hpa.get("behavior", {}).items():
        if not 0 <= rules.get("stabilizationWindowSeconds", 0) <= 3600:
            yield f"{way}: stabilizationWindowSeconds"
        if rules.get("policies", [None]) == []:
            yield f"{way}: no policy"
        for policy in rules.get("policies", ()):
            if policy["value"] < 1 or not 1 <= policy["periodSeconds"] <= 1800:
                yield f"{way}: {policy}"


def _of_job(spec: Object) -> Iterator[str]:
    for name in ("fallback", "idleReplicaCount", "advanced", "cooldownPeriod", "initialCooldownPeriod"):
        if name in spec:
            yield f"a ScaledJob has no {name}"
    if spec.get("rollout", {}).get("strategy") not in ("gradual", "immediate"):
        yield "rollout.strategy"
    strategy = spec.get("scalingStrategy", {})
    if strategy.get("strategy") == "custom" and not strategy.get("customScalingRunningJobPercentage"):
        yield "strategy custom without a percentage"
    names = {c["name"] for c in spec["jobTargetRef"]["template"]["spec"]["containers"]}
    if spec.get("envSourceContainerName", next(iter(names))) not in names:
        yield "envSourceContainerName is not in spec.containers"


def _triggers(triggers: list[Object], *, jobs: bool) -> Iterator[str]:
    if not triggers:
        yield "no triggers"
    names = [t["name"] for t in triggers if t.get("name")]
    if len(names) != len(set(names)):
        yield "two triggers of one name"
    for t in triggers:
        resource = t["type"] in ("cpu", "memory")
        if t.get("useCachedMetrics") and (resource or t["type"] == "cron"):
            yield "useCachedMetrics is not supported"
        if t.get("metricType") == "Utilization" and not resource:
            yield "Utilization for an external metric"
        if resource and t.get("metricType") not in ("Utilization", "AverageValue"):
            yield "unknown metric type of a resource"
        if jobs and (t.get("metricType") or resource):
            yield "metricType cannot be set in ScaledJob triggers"
        if not all(isinstance(v, str) for v in t["metadata"].values()):
            yield "metadata that is no string"
        needed = {"cron": ("start", "end", "timezone", "desiredReplicas"), "prometheus": ("serverAddress", "query")}
        yield from (f"{t['type']}: no {n}" for n in needed.get(t["type"], ()) if not t["metadata"].get(n))


def _authentication(spec: Object) -> Iterator[str]:
    identity = spec.get("podIdentity") or {}
    if identity.get("roleArn") and identity.get("identityOwner") == "workload":
        yield "roleArn while KEDA is not the identity's owner"
    if identity.get("externalID") and not identity.get("roleArn"):
        yield "externalID without roleArn"


def _queue_scaler(trigger: Object, authentication: Object | None, config_map: Object | None) -> Iterator[str]:
    kind, metadata = trigger["type"], trigger["metadata"]
    yield from (f"the scaler does not read {key} from its trigger" for key in set(metadata) - FROM_METADATA[kind])
    given, foreign = dict(metadata), False
    reference = trigger.get("authenticationRef")
    if reference is not None:
        foreign = authentication is None or reference["name"] != authentication["metadata"]["name"]
    if reference is not None and not foreign and authentication is not None:
        spec = authentication["spec"]
        from_secrets = {entry["parameter"]: "secret" for entry in spec.get("secretTargetRef", ())}
        for entry in spec.get("configMapTargetRef", ()):
            data = config_map["data"] if config_map and config_map["metadata"]["name"] == entry["name"] else {}
            if not data.get(entry["key"]):
                yield f"the ConfigMap {entry['name']} has no {entry['key']}"
            from_secrets[entry["parameter"]] = data.get(entry["key"], "")
        yield from (f"the scaler does not read {key} of its authentication" for key in set(from_secrets) - _known(kind))
        given = {**from_secrets, **given}
    yield from (_rabbitmq if kind == "rabbitmq" else _sqs)(given, foreign)


def _known(kind: str) -> set[str]:
    return FROM_AUTHENTICATION[kind]


def _rabbitmq(given: dict[str, str], foreign: bool) -> Iterator[str]:
    if given.get("protocol") not in ("amqp", "http", "auto"):
        yield "protocol"
    if given.get("mode") != "QueueLength" or float(given.get("value", 0)) <= 0:
        yield "mode or value"
    host = given.get("host")
    if host is None and not foreign:
        yield "no host"
    if host not in (None, "secret"):
        url = urlsplit(host)
        if url.scheme.removesuffix("s") != given["protocol"]:
            yield f"{host} is not of protocol {given['protocol']}"
        if not url.hostname or url.query or url.fragment or " " in str(host) or url.port is False:
            yield f"{host} is no URL of a broker"
        if (
            given["protocol"] == "http"
            and not (url.username and url.password)
            and "password" not in given
            and not foreign
        ):
            yield "the management API is asked by nobody"
        if url.path.count("/") > 1 and given["protocol"] == "amqp":
            yield f"{host} has a path"
    if ("username" in given) != ("password" in given) or "usernameFromEnv" in given:
        yield "username and password must be given together"
    if ("cert" in given) != ("key" in given):
        yield "both key and certificate must be provided"
    if given.get("tls", "disable") not in ("enable", "disable"):
        yield "incorrect value for TLS"
    if ("ca" in given or "cert" in given) and given.get("tls") != "enable":
        yield "certificates that are not used"


def _sqs(given: dict[str, str], foreign: bool) -> Iterator[str]:
    url = urlsplit(given["queueURL"])
    parts = url.path.split("/")
    if len(parts) != 3 or not parts[1] or not parts[2] or url.query:
        yield f"cannot get queueName from {given['queueURL']}"
    if not given.get("awsRegion"):
        yield "no awsRegion"
    if int(given["queueLength"]) < 1:
        yield "queueLength"
    endpoint = given.get("awsEndpoint")
    if endpoint is not None and (urlsplit(endpoint).netloc != url.netloc or urlsplit(endpoint).path):
        yield "the endpoint is not the queue's"
    if endpoint is None and url.hostname and not url.hostname.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        yield "a queue of another host without an endpoint"
