"""Injection and its inverse, by example."""

import copy
from typing import Any

import pytest

from controller.rules import scalers
from crds.names import ANNOTATION_INJECTED
from crds.parse import parse_actor
from injection.environment import environment
from injection.inject import Denied, Record, inject, is_disabled, read_record, uninject
from injection.plan import Plan, make_plan
from injection.record import SCRIPT_ENV, SOCKET_ENV
from injection.settings import SidecarDefaults
from tests.harness.space import actor

Object = dict[str, Any]
DEFAULTS = SidecarDefaults()
OUR_VARIABLES = {*SOCKET_ENV, *SCRIPT_ENV}
OURS = {"asya-socket", "asya-runtime"}


def plan(obj: Object, defaults: SidecarDefaults = DEFAULTS) -> Plan:
    return make_plan(parse_actor(obj), defaults)


# -- by example ----------------------------------------------------------------------------------


def pod(*containers: Object, **spec: Any) -> Object:
    return {"spec": {"containers": [{"image": "app:1", **c} for c in containers], **spec}}


RUNTIME = {"name": "runtime", "env": [{"name": "ASYA_HANDLER", "value": "app.handle"}]}


def denial(template: Object, obj: Object | None = None, *, job: bool = False, **settings: Any) -> str:
    with pytest.raises(Denied) as caught:
        inject(template, plan(obj or actor("a"), SidecarDefaults(**settings)), job=job)
    return str(caught.value)


def test_an_annotation_can_name_the_runtime_container() -> None:
    template = pod({"name": "web"}, {"name": "worker"})
    template["metadata"] = {"annotations": {"asya.io/runtime-container": "worker"}}
    record = read_record(inject(template, plan(actor("a"))))
    assert record
    assert record.runtime == "worker"


def test_the_only_container_is_the_runtime() -> None:
    record = read_record(inject(pod({"name": "app"}), plan(actor("a"))))
    assert record
    assert record.runtime == "app"


def test_an_ambiguous_runtime_container_is_denied_with_the_names() -> None:
    message = denial(pod({"name": "web"}, {"name": "worker"}))
    assert "web, worker" in message
    assert "asya.io/runtime-container" in message


def test_an_annotation_with_an_unknown_container_is_denied() -> None:
    template = pod(RUNTIME)
    template["metadata"] = {"annotations": {"asya.io/runtime-container": "other"}}
    assert "no container is named 'other'" in denial(template)


def test_a_users_sidecar_is_denied() -> None:
    assert "spec.containers: a container is named 'sidecar'" in denial(pod({"name": "sidecar"}, RUNTIME))
    assert "spec.initContainers: a container is named 'sidecar'" in denial(
        pod(RUNTIME, initContainers=[{"name": "sidecar"}])
    )


def test_a_mount_or_volume_whose_place_is_taken_is_denied_with_the_remedy() -> None:
    taken = {**RUNTIME, "volumeMounts": [{"name": "data", "mountPath": "/var/run/asya/"}]}
    assert "taken by the volume 'data'" in denial(pod(taken))
    assert "spec.volumes" in denial(pod(RUNTIME, volumes=[{"name": "asya-socket", "hostPath": {"path": "/"}}]))


SCRIPT_MOUNT = {"name": "asya-runtime", "mountPath": "/opt/asya/asya_runtime.py", "subPath": "asya_runtime.py"}


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"name": "asya-socket", "mountPath": "/var/run/asya", "subPath": "x"}, "with subPath 'x'"),
        ({"name": "asya-socket", "mountPath": "/var/run/./asya", "subPathExpr": "$(P)"}, "with subPathExpr '$(P)'"),
        ({"name": "asya-socket", "mountPath": "/var/run/asya", "readOnly": True}, "with readOnly True"),
        ({**SCRIPT_MOUNT}, "without readOnly"),
        ({**SCRIPT_MOUNT, "subPath": "other.py", "readOnly": True}, "with subPath 'other.py'"),
        ({"name": "asya-runtime", "mountPath": SCRIPT_MOUNT["mountPath"]}, "without subPath and without readOnly"),
    ],
)
def test_a_different_mount_of_the_operators_volume_is_denied(mount: Object, words: str) -> None:
    message = denial(pod({**RUNTIME, "volumeMounts": [mount]}))
    assert f"is a mount of {mount['name']!r} {words}" in message
    assert "remove the mount" in message


@pytest.mark.parametrize(
    "mount",
    [
        {"name": "asya-socket", "mountPath": "/var/run/asya", "readOnly": False, "subPath": ""},
        {"name": "asya-socket", "mountPath": "/var/run/asya", "mountPropagation": "None"},
        {**SCRIPT_MOUNT, "readOnly": True},
    ],
)
def test_an_equal_mount_of_the_operators_volume_counts_as_injected(mount: Object) -> None:
    template = pod({**RUNTIME, "volumeMounts": [mount]})
    once = inject(template, plan(actor("a")))
    assert len(once["spec"]["containers"][1]["volumeMounts"]) == 2
    assert uninject(once) == template


@pytest.mark.parametrize(
    ("volume", "is_denied"),
    [
        ({"name": "asya-socket", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}, False),
        ({"name": "asya-socket", "emptyDir": None}, False),
        ({"name": "asya-socket", "emptyDir": None, "hostPath": {"path": "/x"}}, True),
        ({"name": "asya-socket", "emptyDir": {}, "hostPath": {"path": "/x"}}, True),
        ({"name": "asya-socket", "persistentVolumeClaim": {"claimName": "c"}}, True),
        ({"name": "asya-runtime", "configMap": {"name": "asya-runtime", "defaultMode": 0o555}}, False),
        ({"name": "asya-runtime", "configMap": {"name": "other", "defaultMode": 0o555}}, True),
        ({"name": "asya-runtime", "emptyDir": {}}, True),
        *(
            (
                {
                    "name": "asya-runtime",
                    "configMap": {"name": "asya-runtime", "defaultMode": 0o555, "items": [{"key": key, "path": path}]},
                },
                is_denied,
            )
            for key, path, is_denied in (
                ("asya_runtime.py", "asya_runtime.py", False),
                ("asya_runtime.py", "run.py", True),
                ("other", "asya_runtime.py", True),
            )
        ),
    ],
)
def test_a_volume_with_the_operators_name_and_content_counts_as_injected(volume: Object, is_denied: bool) -> None:
    template = pod(RUNTIME, volumes=[volume])
    if is_denied:
        assert f"the name {volume['name']!r} is taken by another volume" in denial(template)
    else:
        assert uninject(inject(template, plan(actor("a")))) == template


@pytest.mark.parametrize("path", ["/var/run/./asya", "//var/run//asya/", "/var/run/x/../asya", "var/run/asya"])
def test_a_mount_at_the_operators_path_is_recognised_in_every_spelling(path: str) -> None:
    taken = {**RUNTIME, "volumeMounts": [{"name": "data", "mountPath": path}]}
    assert "/var/run/asya is taken by the volume 'data'" in denial(pod(taken))
    same = pod({**RUNTIME, "volumeMounts": [{"name": "asya-socket", "mountPath": path}]})
    once = inject(same, plan(actor("a")))
    mounts = once["spec"]["containers"][1]["volumeMounts"]
    assert [m["mountPath"] for m in mounts] == [path, "/opt/asya/asya_runtime.py"]
    assert inject(once, plan(actor("a"))) is once
    assert uninject(once) == same
    plain = inject(pod(RUNTIME), plan(actor("a")))
    respelt = copy.deepcopy(plain)
    respelt["spec"]["containers"][1]["volumeMounts"][0]["mountPath"] = path
    assert uninject(respelt) == pod(RUNTIME)


def test_the_second_of_two_mounts_at_the_operators_path_counts_too() -> None:
    mounts = [{"name": "asya-socket", "mountPath": "/var/run/asya/"}, {"name": "data", "mountPath": "//var/run/asya"}]
    assert "taken by the volume 'data'" in denial(pod({**RUNTIME, "volumeMounts": mounts}))


def test_the_last_of_a_duplicate_variable_is_the_operators_because_kubernetes_uses_it() -> None:
    twice = [{"name": "ASYA_SOCKET_DIR", "value": "/a"}, {"name": "X"}, {"name": "ASYA_SOCKET_DIR", "value": "/b"}]
    template = pod({"name": "runtime", "env": twice})
    once = inject(template, plan(actor("a")))
    env = once["spec"]["containers"][1]["env"]
    assert [e["value"] for e in env if e["name"] == "ASYA_SOCKET_DIR"] == ["/a", "/var/run/asya"]
    assert uninject(once) == template
    assert inject(once, plan(actor("a"))) is once


def test_the_first_version_of_the_record_replaced_the_first_of_a_duplicate_variable() -> None:
    twice = [{"name": "ASYA_SOCKET_DIR", "value": "/var/run/asya"}, {"name": "ASYA_SOCKET_DIR", "value": "/b"}]
    template = pod({"name": "runtime", "env": twice}, volumes=[{"name": "asya-socket", "emptyDir": {}}])
    was = {"ASYA_SOCKET_DIR": {"name": "ASYA_SOCKET_DIR", "value": "/a"}}
    record = Record(version=1, actor="a", digest="d", runtime="runtime", env_was=was)
    template["metadata"] = {"annotations": {ANNOTATION_INJECTED: record.annotation()}}
    env = uninject(template)["spec"]["containers"][0]["env"]
    assert [e["value"] for e in env] == ["/a", "/b"]


def test_windows_is_denied() -> None:
    assert "Windows" in denial(pod(RUNTIME, os={"name": "windows"}))
    assert "Windows" in denial(pod(RUNTIME, nodeSelector={"kubernetes.io/os": "windows"}))


def test_a_job_without_native_sidecars_is_denied() -> None:
    assert "1.29" in denial(pod(RUNTIME, restartPolicy="Never"), job=True, native_sidecars=False)


@pytest.mark.parametrize(
    ("runtime", "command"),
    [
        (RUNTIME, ["python3", "/opt/asya/asya_runtime.py"]),
        ({**RUNTIME, "command": ["mine"]}, ["mine"]),
        ({"name": "runtime"}, None),
    ],
)
def test_the_command_is_set_only_for_a_handler_without_a_command(runtime: Object, command: list[str] | None) -> None:
    assert inject(pod(runtime), plan(actor("a")))["spec"]["containers"][1].get("command") == command


def test_the_grace_period_is_raised_and_never_lowered() -> None:
    obj = actor("a", timeout={"gracefulShutdown": 90})
    assert inject(pod(RUNTIME), plan(obj))["spec"]["terminationGracePeriodSeconds"] == 90
    long = pod(RUNTIME, terminationGracePeriodSeconds=600)
    assert inject(long, plan(obj))["spec"]["terminationGracePeriodSeconds"] == 600


def test_the_sidecar_runs_as_the_runtimes_user() -> None:
    runtime = {**RUNTIME, "securityContext": {"runAsUser": 1000, "runAsGroup": 2000}}
    context = inject(pod(runtime), plan(actor("a")))["spec"]["containers"][0]["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (1000, 2000)


def names(obj: Object, **settings: Any) -> dict[str, Any]:
    env = environment(parse_actor(obj), SidecarDefaults(**settings))
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in env}


def test_a_queue_without_the_prefix_keeps_the_actors_name() -> None:
    assert names(actor("a", queueName="orders"))["ASYA_ACTOR_NAME"] == "a"
    assert names(actor("a", queueName="asya-default-orders"))["ASYA_ACTOR_NAME"] == "orders"
    assert names(actor("a", queueName="asya-default-"))["ASYA_ACTOR_NAME"] == "a"


def test_a_url_secret_replaces_the_four_variables() -> None:
    url = {"type": "rabbitmq", "rabbitmq": {"urlSecretRef": {"name": "broker", "key": "url"}}}
    env = names(actor("a", transport=url))
    assert env["ASYA_RABBITMQ_URL"] == {"secretKeyRef": {"name": "broker", "key": "url"}}
    assert not {"ASYA_RABBITMQ_HOST", "ASYA_RABBITMQ_PORT", "ASYA_RABBITMQ_USERNAME", "ASYA_RABBITMQ_PASSWORD"} & set(
        env
    )


@pytest.mark.parametrize(
    ("region", "host", "own"),
    [
        ("eu-west-1", "https://sqs.eu-west-1.amazonaws.com", True),
        ("cn-north-1", "https://sqs.cn-north-1.amazonaws.com.cn", True),
        ("eu-west-1", "http://localstack.dev:4566", False),
        ("eu-west-1", "http://elasticmq:9324", False),
        ("eu-west-1", "https://vpce-0a1b.sqs.eu-west-1.vpce.amazonaws.com", False),
        ("us-gov-west-1", "https://sqs-fips.us-gov-west-1.amazonaws.com", False),
        ("eu-west-1", "https://sqs.eu-west-1.api.aws", False),
        ("eu-west-1", "http://sqs.eu-west-1.amazonaws.com", False),
    ],
)
def test_sidecar_and_trigger_have_the_same_endpoint_unless_it_is_the_regions_default(
    region: str, host: str, own: bool
) -> None:
    sqs = {"type": "sqs", "sqs": {"region": region, "queueBaseUrl": f"{host}/123456789012"}}
    endpoint = None if own else host
    trigger = scalers.trigger(parse_actor(actor("a", transport=sqs)), SidecarDefaults())
    assert trigger["metadata"].get("awsEndpoint") == endpoint
    assert names(actor("a", transport=sqs)).get("ASYA_SQS_ENDPOINT") == endpoint


def test_the_actors_own_variables_are_last_and_override() -> None:
    obj = actor("a", sidecar={"env": [{"name": "ASYA_LOG_LEVEL", "value": "DEBUG"}, {"name": "EXTRA", "value": "1"}]})
    env = environment(parse_actor(obj), SidecarDefaults(gateway_url="http://gateway"))
    assert env[-2:] == [{"name": "ASYA_LOG_LEVEL", "value": "DEBUG"}, {"name": "EXTRA", "value": "1"}]
    assert [e["name"] for e in env].count("ASYA_LOG_LEVEL") == 1
    assert {"name": "ASYA_GATEWAY_URL", "value": "http://gateway"} in env


def test_the_digest_changes_with_each_input() -> None:
    base = plan(actor("a")).digest
    assert plan(actor("a")).digest == base
    for other in (
        plan(actor("b")),
        plan(actor("a", timeout={"processing": 1})),
        plan(actor("a", timeout={"gracefulShutdown": 31})),
        plan(actor("a"), SidecarDefaults(image="other:1")),
        plan(actor("a"), SidecarDefaults(resources={})),
    ):
        assert other.digest != base
    assert plan(actor("a", scaling={"enabled": True})).digest == base


@pytest.mark.parametrize("junk", [5, "abc", {"a": 1}, [5, None, {"name": "sidecar", "volumeMounts": 5}], None])
def test_a_record_is_read_from_a_template_of_any_shape(junk: Any) -> None:
    annotations = {ANNOTATION_INJECTED: Record(actor="a", digest="d", runtime="r").annotation()}
    for spec in (junk, {"containers": junk, "initContainers": junk, "volumes": junk}):
        assert read_record({"metadata": {"annotations": annotations}, "spec": spec}) is None
    for metadata in (junk, {"labels": junk, "annotations": junk}):
        assert read_record({"metadata": metadata, "spec": {}}) is None
        assert not is_disabled({"metadata": metadata})


@pytest.mark.parametrize("junk", [5, "asya-runtime", [None], {"name": ["asya-runtime"]}])
def test_a_volume_that_was_replaced_stays(junk: Any) -> None:
    injected = copy.deepcopy(inject(pod(RUNTIME), plan(actor("a"))))
    (volume,) = [v for v in injected["spec"]["volumes"] if v["name"] == "asya-runtime"]
    volume["configMap"] = junk
    assert uninject(injected)["spec"]["volumes"] == [volume]
