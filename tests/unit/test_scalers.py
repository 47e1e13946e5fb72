"""KEDA accepts the objects of every valid actor."""

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.cluster.parameters import parameters_map
from controller.rules import scalers
from crds.models import AsyncActor
from crds.parse import parse_actor
from injection.generations import queue_name
from injection.plan import make_plan
from injection.scaling_risks import scaling_risks
from injection.settings import SidecarDefaults
from tests.cases.keda_rules import refusals
from tests.harness.operator import REAL_KEDA
from tests.harness.space import actor
from tests.strategies import merged, optional

Object = dict[str, Any]
DEFAULTS = SidecarDefaults()
ACCOUNT = "123456789012"


def parsed(**spec: Any) -> AsyncActor:
    obj = actor("a", **spec)
    obj["metadata"] = {"namespace": "ns", "uid": "u1", "generation": 3, **obj["metadata"]}
    return parse_actor(obj)


def objects(one: AsyncActor) -> list[Object]:
    made = scalers.scaled_job if one.spec.workload.type == "Job" else scalers.scaled_object
    entries = scalers.trigger_parameters(one)
    parameters = parameters_map("ns", entries) if entries else None
    matches = [parameters, scalers.trigger_authentication(one), made(one, DEFAULTS)]
    return [obj for obj in matches if obj is not None]


# -- the family ----------------------------------------------------------------------------------

SECRET = st.builds(
    lambda n, k: {"name": n, "key": k}, st.sampled_from(["broker", "s.x"]), st.sampled_from(["k", "a.b"])
)
HOSTS = st.sampled_from(["rabbitmq", "rabbitmq.messaging.svc", "10.0.0.1", "[fd00::1]", "r_1.example.com"])
MANAGEMENT = st.one_of(
    st.builds(lambda h, s: {"url": f"{s}://{h}:15672"}, HOSTS, st.sampled_from(["http", "https"])),
    st.just({"url": "https://rabbitmq/management"}),
    SECRET.map(lambda ref: {"urlSecretRef": ref}),
)
CERTIFICATE = st.tuples(SECRET, SECRET).map(lambda refs: {"certSecretRef": refs[0], "keySecretRef": refs[1]})
TLS = merged(optional("caSecretRef", SECRET), st.one_of(st.just({}), CERTIFICATE))
BY_PARTS = merged(
    HOSTS.map(lambda host: {"host": host}),
    optional("port", st.sampled_from([5671, 5672, 30000])),
    optional("username", st.sampled_from(["guest", "app", "a@b:c/d#%"])),
    optional("passwordSecretRef", SECRET),
    optional("vhost", st.sampled_from(["/", "prod", "a/b", "50%", "é"])),
    optional("tls", TLS),
    optional("management", MANAGEMENT),
)
BY_URL = merged(
    SECRET.map(lambda ref: {"urlSecretRef": ref}),
    optional("tls", TLS),
    optional("management", SECRET.map(lambda ref: {"urlSecretRef": ref})),
)
REGION = "eu-west-1"
SQS = merged(
    st.sampled_from(
        [
            f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}",
            f"https://vpce-0a1b.sqs.{REGION}.vpce.amazonaws.com/{ACCOUNT}",
            "http://localstack:4566/000000000000",
            "http://elasticmq:9324/queue",
        ]
    ).map(lambda url: {"region": REGION, "queueBaseUrl": url}),
    optional("visibilityTimeout", st.integers(0, 43200)),
)
TRANSPORTS = st.one_of(
    st.one_of(BY_PARTS, BY_URL).map(lambda section: {"type": "rabbitmq", "rabbitmq": section}),
    SQS.map(lambda section: {"type": "sqs", "sqs": section}),
)
REFERENCE = merged(
    st.just({"name": "own"}),
    optional("kind", st.sampled_from(["TriggerAuthentication", "ClusterTriggerAuthentication"])),
)
CRON = {"timezone": "Europe/Berlin", "start": "0 8 * * *", "end": "0 18 * * *", "desiredReplicas": "3"}
PROMETHEUS = {"serverAddress": "http://prometheus", "query": "up", "threshold": "1", "valueFromEnv": "X"}
RULES = merged(
    optional("stabilizationWindowSeconds", st.integers(0, 3600)),
    optional("selectPolicy", st.sampled_from(["Max", "Min", "Disabled"])),
    optional(
        "policies",
        st.lists(
            st.builds(
                lambda t, v, p: {"type": t, "value": v, "periodSeconds": p},
                st.sampled_from(["Pods", "Percent"]),
                st.integers(1, 200),
                st.integers(1, 1800),
            ),
            min_size=1,
            max_size=2,
        ),
    ),
)


def triggers(*, jobs: bool) -> st.SearchStrategy[list[Object]]:
    """Additional triggers, of the kinds that KEDA has for Jobs or for workloads with replicas."""
    queue = optional("metricType", st.sampled_from(["AverageValue", "Value"])) if not jobs else st.just({})
    kinds = [
        st.just({"type": "cron", "metadata": CRON}),
        merged(
            st.just({"type": "prometheus", "metadata": PROMETHEUS}), optional("authenticationRef", REFERENCE), queue
        ),
        merged(st.just({"type": "a-scaler-of-tomorrow", "metadata": {}}), queue),
    ]
    if not jobs:
        cpu = {"type": "cpu", "metadata": {"value": "60"}}
        kinds.append(st.sampled_from(["Utilization", "AverageValue"]).map(lambda kind: {**cpu, "metricType": kind}))
    named = st.tuples(st.one_of(*kinds), st.one_of(st.none(), st.sampled_from(["one", "two", "three"])))
    lists = st.lists(named, max_size=3, unique_by=lambda pair: pair[1] or object())
    return lists.map(lambda pairs: [{**one, **({"name": name} if name else {})} for one, name in pairs])


@st.composite
def actors(draw: st.DrawFn) -> AsyncActor:
    """A valid actor with scaling."""
    kind = draw(st.sampled_from(["Deployment", "StatefulSet", "Job"]))
    jobs, transport = kind == "Job", draw(TRANSPORTS)
    least = draw(st.integers(0, 4))
    parts = [
        st.just({"enabled": True, "minReplicas": least, "maxReplicas": draw(st.integers(max(least, 1), 9))}),
        optional("paused", st.booleans()),
        st.just({}) if jobs else optional("pausedReplicas", st.integers(0, 9)),
        optional("pollingInterval", st.integers(1, 300)),
        optional("cooldownPeriod", st.integers(0, 900)),
        optional("queueLength", st.integers(1, 50)),
        optional("activationQueueLength", st.integers(0, 50)),
        optional("triggers", triggers(jobs=jobs)),
    ]
    own = draw(st.booleans())
    if own:
        parts.append(REFERENCE.map(lambda ref: {"authenticationRef": ref}))
    elif transport["type"] == "sqs":
        role = {"roleArn": "arn:aws:iam::123456789012:role/keda"}
        parts.append(optional("aws", st.sampled_from([{"identityOwner": "keda"}, {"identityOwner": "workload"}, role])))
    if jobs:
        custom = {"strategy": "custom", "customScalingRunningJobPercentage": "0.5"}
        strategies = [{}, {"strategy": "eager"}, custom, {"rollout": "immediate", "failedJobsHistoryLimit": 0}]
        parts.append(optional("job", st.sampled_from(strategies)))
    else:
        parts += [
            optional("initialCooldownPeriod", st.integers(0, 900)),
            optional("behavior", merged(optional("scaleUp", RULES), optional("scaleDown", RULES))),
            optional(
                "fallback",
                merged(
                    st.just({"failureThreshold": 3, "replicas": 2}),
                    optional("behavior", st.sampled_from(["static", "currentReplicasIfHigher"])),
                ),
            ),
            optional("idleReplicas", st.just(0)) if least else st.just({}),
        ]
    container = {"name": "runtime", "image": "app:1", "env": [{"name": "ASYA_HANDLER", "value": "app.handle"}]}
    template = {"spec": {"serviceAccountName": "app", "containers": [container]}}
    return parsed(
        transport=transport,
        scaling=draw(merged(*parts)),
        timeout={"processing": draw(st.integers(1, 900))},
        workload={"type": kind, "template": template},
    )


# -- properties ----------------------------------------------------------------------------------


@settings(max_examples=120, deadline=None)
@given(actors())
def test_keda_would_accept_the_objects_of_every_valid_actor(one: AsyncActor) -> None:
    made = objects(one)
    assert refusals(made) == []
    assert "usernameFromEnv" not in str(made)


@cache
def schemas() -> dict[str, Object]:
    matches = {}
    for path in sorted(Path(REAL_KEDA).glob("*.yaml")):
        for crd in yaml.load_all(path.read_text(), yaml.CSafeLoader):
            if crd:
                version = next(v for v in crd["spec"]["versions"] if v["name"] == "v1alpha1")
                matches[crd["spec"]["names"]["kind"]] = _closed(version["schema"]["openAPIV3Schema"])
    return matches


def _closed(node: Any) -> Any:
    """A structural schema that allows no unknown fields, as in the API server's strict validation."""
    if isinstance(node, list):
        return [_closed(n) for n in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(value) for key, value in node.items()}
    if closed.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    is_open = "additionalProperties" in closed or closed.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object" and not is_open:
        closed["additionalProperties"] = False
    return closed


@pytest.mark.skipif(not REAL_KEDA.is_dir(), reason="KEDA's own CRDs are not at hand")
@settings(max_examples=40, deadline=None)
@given(actors())
def test_kedas_schemas_accept_the_objects_of_every_valid_actor(one: AsyncActor) -> None:
    for obj in objects(one):
        schema = schemas().get(obj["kind"])
        if schema is not None:
            jsonschema.Draft7Validator(schema["properties"]["spec"]).validate(obj["spec"])


@settings(max_examples=40, deadline=None)
@given(actors())
def test_sidecar_and_keda_use_the_same_queue_and_broker(one: AsyncActor) -> None:
    env = {e["name"]: e.get("value") for e in make_plan(one, DEFAULTS).sidecar["env"]}
    metadata = scalers.trigger(one, DEFAULTS)["metadata"]
    queue = queue_name(one, DEFAULTS)
    assert metadata.get("queueName", metadata.get("queueURL", "").rpartition("/")[2]) == queue
    assert env.get("ASYA_SQS_ENDPOINT") == metadata.get("awsEndpoint")
    rabbitmq = one.spec.transport.rabbitmq
    if rabbitmq is not None and rabbitmq.host is not None and rabbitmq.management is None:
        assert metadata["host"].rstrip("/").endswith(f"{env['ASYA_RABBITMQ_HOST']}:{env['ASYA_RABBITMQ_PORT']}")


# -- by example ----------------------------------------------------------------------------------


def rabbitmq(**section: Any) -> Object:
    return {"type": "rabbitmq", "rabbitmq": {"host": "rabbitmq", **section}}


def job(**spec: Any) -> AsyncActor:
    template = {"spec": {"containers": [{"name": "runtime", "image": "app:1"}]}}
    workload = {"type": "Job", "template": template, **spec.pop("workload", {})}
    return parsed(workload=workload, **{"scaling": {"enabled": True}, **spec})


def test_the_smallest_actor_logs_in_as_guest_and_sets_no_user_without_a_password() -> None:
    smallest = parsed(scaling={"enabled": True})
    trigger = scalers.trigger(smallest, DEFAULTS)
    assert trigger["metadata"]["host"] == "amqp://rabbitmq:5672/"
    assert "authenticationRef" not in trigger
    over_http = parsed(transport=rabbitmq(management={"url": "http://rabbitmq:15672"}))
    assert scalers.trigger(over_http, DEFAULTS)["metadata"]["host"] == "http://guest:guest@rabbitmq:15672/"


def test_a_scaled_job_needs_no_variable_of_its_sidecar_and_keeps_running_jobs() -> None:
    secret = {"name": "s", "key": "k"}
    one = job(transport=rabbitmq(username="app", passwordSecretRef=secret))
    spec = scalers.scaled_job(one, DEFAULTS)["spec"]
    assert "envSourceContainerName" not in spec
    assert spec["rollout"] == {"strategy": "gradual"}
    assert spec["scalingStrategy"] == {"strategy": "accurate", "pendingPodConditions": ["Ready"]}
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (50, 50)
    assert spec["triggers"][0]["metadata"]["value"] == "1"
    assert scalers.trigger_parameters(one) == {"username_app": "app"}
    counted = job(transport=rabbitmq(management={"url": "http://rabbitmq:15672"}), workload={"job": {"messages": 7}})
    spec = scalers.scaled_job(counted, DEFAULTS)["spec"]
    assert (spec["scalingStrategy"]["strategy"], spec["triggers"][0]["metadata"]["value"]) == ("default", "7")


@pytest.mark.parametrize(
    ("transport", "processing", "cooldown"),
    [
        (rabbitmq(), 300, 330),
        (rabbitmq(), 5, 60),
        (rabbitmq(management={"url": "http://rabbitmq:15672"}), 300, 60),
        ({"type": "sqs", "sqs": {"region": REGION, "queueBaseUrl": f"http://localstack:4566/{ACCOUNT}"}}, 300, 60),
    ],
)
def test_the_cooldown_is_longer_than_a_message_if_only_waiting_ones_are_counted(
    transport: Object, processing: int, cooldown: int
) -> None:
    timeout = {"processing": processing}
    one = parsed(transport=transport, timeout=timeout, scaling={"enabled": True})
    assert scalers.scaled_object(one, DEFAULTS)["spec"]["cooldownPeriod"] == cooldown
    assert not [risk for risk in scaling_risks(one) if "cooldownPeriod" in risk]
    given_one = parsed(transport=transport, timeout=timeout, scaling={"enabled": True, "cooldownPeriod": 7})
    assert scalers.scaled_object(given_one, DEFAULTS)["spec"]["cooldownPeriod"] == 7


def test_an_unsafe_combination_gives_a_warning() -> None:
    short = parsed(scaling={"enabled": True, "cooldownPeriod": 60})
    assert [risk.partition(":")[0] for risk in scaling_risks(short)] == ["spec.scaling.cooldownPeriod"]
    sqs = {"region": REGION, "queueBaseUrl": f"http://localstack:4566/{ACCOUNT}", "visibilityTimeout": 299}
    twice = parsed(transport={"type": "sqs", "sqs": sqs})
    assert [risk.partition(":")[0] for risk in scaling_risks(twice)] == ["spec.transport.sqs.visibilityTimeout"]
    unnamed = parsed(transport=rabbitmq(username="app"))
    assert [risk.partition(":")[0] for risk in scaling_risks(unnamed)] == ["spec.transport.rabbitmq.passwordSecretRef"]
    cpu = {"type": "cpu", "metadata": {"value": "60"}, "metricType": "Utilization"}
    greedy = parsed(scaling={"enabled": True, "triggers": [cpu]})
    assert [risk.partition(":")[0] for risk in scaling_risks(greedy)] == ["spec.scaling.triggers[0]"]
    assert scaling_risks(parsed(scaling={"enabled": True})) == []


def test_variables_of_additional_triggers_are_the_runtime_containers() -> None:
    further = {"type": "redis", "metadata": {"addressFromEnv": "REDIS", "listName": "l"}}
    spec = scalers.scaled_object(parsed(scaling={"enabled": True, "triggers": [further]}), DEFAULTS)["spec"]
    assert spec["scaleTargetRef"]["envSourceContainerName"] == "runtime"
    assert spec["triggers"][1] == further


def test_keda_gets_tls_by_parameters_and_the_sidecar_by_files() -> None:
    refs = {part: {"name": part, "key": "pem"} for part in ("ca", "cert", "key")}
    tls = {f"{part}SecretRef": ref for part, ref in refs.items()}
    one = parsed(transport=rabbitmq(vhost="a/b", tls=tls))
    spec = (scalers.trigger_authentication(one) or {})["spec"]
    assert {entry["parameter"] for entry in spec["secretTargetRef"]} == {"ca", "cert", "key"}
    assert scalers.trigger_parameters(one) == {"tls_enable": "enable"}
    metadata = scalers.trigger(one, DEFAULTS)["metadata"]
    assert (metadata["host"], metadata["vhostName"]) == ("amqps://rabbitmq:5671/", "a/b")
    plan = make_plan(one, DEFAULTS)
    env = {e["name"]: e.get("value") for e in plan.sidecar["env"]}
    assert env["ASYA_RABBITMQ_URL"] == (
        "amqps://guest:guest@rabbitmq:5671/a%2Fb?certfile=/etc/asya/rabbitmq/client/tls.crt"
        "&keyfile=/etc/asya/rabbitmq/client/tls.key&auth_mechanism=external"
    )
    assert env["SSL_CERT_DIR"] == "/etc/ssl/certs:/etc/asya/rabbitmq/ca"
    volume = next(v for v in plan.volumes if v["name"] == "asya-rabbitmq")
    assert [s["secret"]["name"] for s in volume["projected"]["sources"]] == ["ca", "cert", "key"]
    assert {"name": "asya-rabbitmq", "mountPath": "/etc/asya/rabbitmq", "readOnly": True} in plan.sidecar[
        "volumeMounts"
    ]


def test_a_paused_actor_and_an_own_authentication() -> None:
    secret = {"name": "s", "key": "k"}
    reference = {"name": "own", "kind": "ClusterTriggerAuthentication"}
    section = {"enabled": True, "paused": True, "authenticationRef": reference}
    one = parsed(transport=rabbitmq(username="app", passwordSecretRef=secret), scaling=section)
    made = scalers.scaled_object(one, DEFAULTS)
    assert made["metadata"]["annotations"]["autoscaling.keda.sh/paused"] == "true"
    held = scalers.scaled_object(parsed(scaling={**section, "pausedReplicas": 0}), DEFAULTS)
    assert held["metadata"]["annotations"]["autoscaling.keda.sh/paused-replicas"] == "0"
    assert "autoscaling.keda.sh/paused" not in held["metadata"]["annotations"]
    going = scalers.scaled_object(parsed(scaling={**section, "paused": False, "pausedReplicas": 0}), DEFAULTS)
    assert not any("paused" in name for name in going["metadata"].get("annotations") or {})
    assert made["spec"]["triggers"][0]["authenticationRef"] == reference
    assert (scalers.trigger_authentication(one), scalers.trigger_parameters(one)) == (None, {})
