"""Sidecars and scripts of all generations work together in a pod: each finds its variables and the same socket.

Released ones read the first name of each row of the environment's table in the README, and use the socket
``asya-runtime.sock`` in the directory. Earlier ones read the other names and use the whole path.
"""

import itertools
from typing import Any

import pytest

from crds.parse import parse_actor
from injection.inject import inject
from injection.plan import make_plan
from injection.settings import SidecarDefaults
from tests.harness.space import actor

SQS = {
    "type": "sqs",
    "sqs": {"region": "eu-west-1", "queueBaseUrl": "http://localstack:4566/000000000000", "visibilityTimeout": 40},
}
RABBITMQ = {
    "type": "rabbitmq",
    "rabbitmq": {"host": "mq", "port": 5673, "username": "u", "passwordSecretRef": {"name": "s", "key": "k"}},
}
URL = {"type": "rabbitmq", "rabbitmq": {"urlSecretRef": {"name": "s", "key": "url"}}}
COMMON = {"ASYA_TRANSPORT", "ASYA_RUNTIME_TIMEOUT", "ASYA_LOG_LEVEL"}
READS: dict[tuple[str, str], set[str]] = {
    ("released", "rabbitmq"): COMMON
    | {"ASYA_ACTOR_NAME", "ASYA_SOCKET_DIR", "ASYA_METRICS_ADDR", "ASYA_RABBITMQ_HOST", "ASYA_RABBITMQ_PORT"}
    | {"ASYA_RABBITMQ_USERNAME", "ASYA_RABBITMQ_PASSWORD"},
    ("released", "url"): COMMON | {"ASYA_ACTOR_NAME", "ASYA_SOCKET_DIR", "ASYA_METRICS_ADDR", "ASYA_RABBITMQ_URL"},
    ("released", "sqs"): COMMON
    | {"ASYA_ACTOR_NAME", "ASYA_SOCKET_DIR", "ASYA_METRICS_ADDR", "ASYA_AWS_REGION", "ASYA_SQS_ENDPOINT"}
    | {"ASYA_SQS_VISIBILITY_TIMEOUT", "ASYA_SQS_WAIT_TIME_SECONDS"},
    ("earlier", "rabbitmq"): COMMON
    | {"ASYA_QUEUE_NAME", "ASYA_SOCKET_PATH", "ASYA_RABBITMQ_HOST", "ASYA_RABBITMQ_PORT"}
    | {"ASYA_RABBITMQ_USERNAME", "ASYA_RABBITMQ_PASSWORD"},
    ("earlier", "url"): COMMON | {"ASYA_QUEUE_NAME", "ASYA_SOCKET_PATH", "ASYA_RABBITMQ_URL"},
    ("earlier", "sqs"): COMMON | {"ASYA_QUEUE_NAME", "ASYA_SOCKET_PATH", "AWS_REGION", "QUEUE_BASE_URL"},
}
TRANSPORTS = {"rabbitmq": RABBITMQ, "url": URL, "sqs": SQS}
SCRIPTS = {
    "released": {"ASYA_SOCKET_DIR", "ASYA_SOCKET_MAX_SIZE"},
    "earlier": {"ASYA_SOCKET_PATH", "ASYA_SOCKET_MAX_SIZE"},
}


def environments(**spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The environments of an injected sidecar and runtime."""
    obj = actor("text", **spec)
    template = obj["spec"]["workload"]["template"]
    plan = make_plan(parse_actor(obj), SidecarDefaults(), "")
    sidecar, runtime = inject(template, plan)["spec"]["containers"]
    return tuple({e["name"]: e.get("value", e.get("valueFrom")) for e in c["env"]} for c in (sidecar, runtime))  # type: ignore[return-value]


def place(generation: str, env: dict[str, Any]) -> str:
    """The path at which a sidecar or script of that generation looks for the socket."""
    return f"{env['ASYA_SOCKET_DIR']}/asya-runtime.sock" if generation == "released" else str(env["ASYA_SOCKET_PATH"])


@pytest.mark.parametrize(("generation", "transport"), READS)
def test_a_sidecar_finds_every_name_it_reads(generation: str, transport: str) -> None:
    sidecar, _ = environments(transport=TRANSPORTS[transport])
    assert READS[generation, transport] - sidecar.keys() == set()


@pytest.mark.parametrize("generation", SCRIPTS)
def test_a_script_finds_every_name_it_reads(generation: str) -> None:
    _, runtime = environments()
    assert SCRIPTS[generation] - runtime.keys() == set()


def test_no_other_name_could_mislead_one() -> None:
    for transport in TRANSPORTS.values():
        for env in environments(transport=transport):
            assert "ASYA_SOCKET_NAME" not in env
    url, _ = environments(transport=URL)
    assert not {"ASYA_RABBITMQ_HOST", "ASYA_RABBITMQ_PORT", "ASYA_RABBITMQ_USERNAME", "ASYA_RABBITMQ_PASSWORD"} & set(
        url
    )
    amazon = {"region": "eu-west-1", "queueBaseUrl": "https://sqs.eu-west-1.amazonaws.com/000000000000"}
    sqs, _ = environments(transport={"type": "sqs", "sqs": amazon})
    assert "ASYA_SQS_ENDPOINT" not in sqs


@pytest.mark.parametrize(("sidecar", "script"), list(itertools.product(("released", "earlier"), repeat=2)))
def test_every_pair_uses_the_same_default_path(sidecar: str, script: str) -> None:
    ours, theirs = environments()
    assert place(sidecar, ours) == place(script, theirs)


@pytest.mark.parametrize("sidecar", ["released", "earlier"])
def test_every_sidecar_finds_the_operators_script_at_any_path(sidecar: str) -> None:
    ours, theirs = environments(socket={"path": "/tmp/sockets/app.sock"})
    listens = {theirs["ASYA_SOCKET_PATH"], f"{theirs['ASYA_SOCKET_DIR']}/asya-runtime.sock"}
    assert place(sidecar, ours) in listens


def test_the_values_have_the_expected_form() -> None:
    sidecar, _ = environments(
        transport=SQS, queueName="asya-default-queue", timeout={"processing": 61, "gracefulShutdown": 90}
    )
    assert sidecar["ASYA_ACTOR_NAME"] == "queue"
    # 360 s more: with a socket holder the sidecar waits through a restart, and the runtime enforces the limit itself.
    assert sidecar["ASYA_RUNTIME_TIMEOUT"] == sidecar["ASYA_RESILIENCY_ACTOR_TIMEOUT"] == "421s"
    assert sidecar["ASYA_METRICS_ADDR"] == ":9095"
    assert sidecar["ASYA_SQS_ENDPOINT"] == "http://localstack:4566"
    assert sidecar["QUEUE_BASE_URL"] == "http://localstack:4566/000000000000"
    assert sidecar["AWS_REGION"] == sidecar["ASYA_AWS_REGION"] == "eu-west-1"
