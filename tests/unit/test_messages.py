"""The path to an actor's broker: its target, the short-lived pod, its output, and the text of refusals."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.parse import parse_actor
from injection.settings import SidecarDefaults
from kube.failures import ApiError
from messages.aws import Credentials, find_credentials, signed
from messages.broker import BrokerError
from messages.job import encoded, job, secrets
from messages.rabbitmq import parameters
from messages.requests import Filter, Request
from messages.rights import explained
from messages.sealed import MARK, Sealer, new_key
from messages.service import read_request
from messages.target import Target, make_target
from tests.harness.brokers import MOTO, why_no_sqs
from tests.harness.space import actor

MARKED = "MARKED-SECRET-4711"


def target(name: str = "a", image: str = "x/asya-sidecar:1.1.3", **spec: Any) -> Target:
    """The target of a small actor in the namespace ``n``."""
    obj = actor(name, **spec)
    obj["metadata"] |= {"namespace": "n", "uid": "1", "generation": 1}
    return make_target(parse_actor(obj), SidecarDefaults(image=image))


@pytest.mark.parametrize(
    ("image", "queue", "sink", "sump"),
    [
        ("x/asya-sidecar:0.1.1", "asya-a", "asya-happy-end", "asya-error-end"),
        ("x/asya-sidecar:0.4.0", "asya-n-a", "asya-n-happy-end", "asya-n-error-end"),
        ("x/asya-sidecar:1.1.3", "asya-n-a", "asya-n-x-sink", "asya-n-x-sump"),
    ],
)
def test_the_queues_of_an_actor(image: str, queue: str, sink: str, sump: str) -> None:
    made = target(image=image)
    assert (made.queue, list(made.ends)) == (queue, [sink, sump])
    request = made.request(action="dead", filter=Filter(actor="a"))
    assert (request.dead, request.prefix) == ([sump], queue.removesuffix("a"))
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request


def test_an_actor_with_its_own_ends_and_exchange() -> None:
    env = [{"name": n, "value": v} for n, v in (("ASYA_ACTOR_SINK", "s"), ("ASYA_RABBITMQ_EXCHANGE", "e"))]
    made = target(sidecar={"env": env})
    assert (list(made.ends), made.exchange) == (["asya-n-s", "asya-n-x-sump"], "e")


def test_a_route_starts_with_its_actor() -> None:
    made = target()
    assert [made.route(), made.route(["b"]), made.route(["a", "b"])] == [["a"], ["a", "b"], ["a", "b"]]


TLS = {
    "host": "rabbitmq",
    "passwordSecretRef": {"name": "s", "key": "p"},
    "tls": {"caSecretRef": {"name": "s", "key": "ca"}},
}


@pytest.mark.parametrize("rabbitmq", [{"host": "rabbitmq"}, TLS])
def test_the_pod_is_valid_and_restricted_and_is_removed(rabbitmq: Any) -> None:
    made = target(transport={"type": "rabbitmq", "rabbitmq": rabbitmq})
    request = made.request(action="send", bodies=["x" * 2_000_000])
    parts = encoded(request, new_key())
    obj = job(made, "asya-messages-1", "operator:1", request, len(parts))
    kubernetes_validate.validate(obj, "1.36", strict=True)
    spec, template = obj["spec"], obj["spec"]["template"]["spec"]
    assert spec["ttlSecondsAfterFinished"] <= 60
    assert spec["activeDeadlineSeconds"] <= 600
    assert template["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    (container,) = template["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in template["volumes"]}
    assert "asya.io/actor" not in obj["metadata"]["labels"], "without this label it would be injected"
    assert len(parts) == 3
    for secret in secrets("asya-messages-1", "n", "uid", parts):
        kubernetes_validate.validate(secret, "1.36", strict=True)
        assert secret["metadata"]["ownerReferences"][0]["uid"] == "uid"


def test_the_pods_manifest_contains_no_secret() -> None:
    request = target(transport={"type": "rabbitmq", "rabbitmq": TLS}).request(action="send", bodies=[MARKED])
    obj = job(target(transport={"type": "rabbitmq", "rabbitmq": TLS}), "j", "i", request, 1)
    assert MARKED not in json.dumps(obj)
    passwords = [e for e in obj["spec"]["template"]["spec"]["containers"][0]["env"] if e["name"].endswith("PASSWORD")]
    assert passwords == [{"name": "ASYA_RABBITMQ_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}}]


@given(st.text(), st.integers(1, 3))
def test_a_request_in_parts_is_complete(body: str, copies: int) -> None:
    request = Request("send", bodies=[body] * copies)
    key = new_key()
    parts = encoded(request, key)
    assert json.loads(b"".join(parts)) == {"key": key, "request": request.to_json()}


def test_a_request_is_read_from_files(tmp_path: Path) -> None:
    request, key = Request("send", bodies=["é" * 800_000]), new_key()
    parts = encoded(request, key)
    assert len(parts) > 1
    for number, part in enumerate(parts):
        (tmp_path / f"part-{number:03}").write_bytes(part)
    assert read_request(tmp_path) == (request, key)


def test_only_the_caller_can_read_the_pods_output() -> None:
    sealer = Sealer(new_key())
    line = sealer.seal({"kind": "message", "body": MARKED})
    assert line.startswith(MARK)
    assert MARKED not in line
    assert sealer.open(line) == {"kind": "message", "body": MARKED}
    assert Sealer(new_key()).open(line) is None
    assert sealer.open("Traceback") is None


def test_a_missing_right_is_named() -> None:
    message = (
        'jobs.batch is forbidden: User "u" cannot create resource "jobs" in API group "batch" in the namespace "n"'
    )
    text = explained(ApiError(403, "Forbidden", message), "or try otherwise")
    assert text == (
        "you may not create jobs.batch in the namespace 'n': ask for that right "
        "(kubectl auth can-i create jobs.batch --namespace n), or try otherwise"
    )
    log = 'pods "p" is forbidden: User "u" cannot get resource "pods/log" in API group "" in the namespace "n"'
    assert "kubectl auth can-i get pods --subresource log --namespace n" in explained(ApiError(403, "Forbidden", log))
    assert explained(ApiError(500, "", "broken")) == "broken"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, ("localhost", 5672, "/", "guest", "guest")),
        (
            {"ASYA_RABBITMQ_HOST": "[::1]", "ASYA_RABBITMQ_PORT": "1", "ASYA_RABBITMQ_PASSWORD": "p@ss/w:o#r%d"},
            ("::1", 1, "/", "guest", "p@ss/w:o#r%d"),
        ),
        ({"ASYA_RABBITMQ_URL": "amqp://u:p%40ss@h/a%2Fb"}, ("h", 5672, "a/b", "u", "p@ss")),
        ({"ASYA_RABBITMQ_URL": "amqps://u:p@h:99/"}, ("h", 99, "/", "u", "p")),
        ({"ASYA_RABBITMQ_URL": "amqps://h"}, ("h", 5671, "/", "guest", "guest")),
    ],
)
def test_the_connection_to_rabbitmq(env: dict[str, str], expected: tuple[Any, ...]) -> None:
    made = parameters(env)
    credentials: Any = made.credentials
    assert (made.host, made.port, made.virtual_host, credentials.username, credentials.password) == expected
    assert (made.ssl_options is not None) == env.get("ASYA_RABBITMQ_URL", "").startswith("amqps")


@pytest.mark.parametrize("url", [f"http://u:{MARKED}@h", f"amqp://u:{MARKED}#@h:x/", f"amqp://:{MARKED}@"])
def test_an_unreadable_url_is_not_shown(url: str) -> None:
    with pytest.raises(BrokerError) as raised:
        parameters({"ASYA_RABBITMQ_URL": url})
    assert raised.value.problem == "BadSetting"
    assert MARKED not in str(raised.value)


ORACLE = """
import json, sys
from datetime import datetime, timezone
import botocore.auth, botocore.awsrequest, botocore.credentials
for case in json.load(sys.stdin):
    now = datetime.fromtimestamp(case["now"], timezone.utc)
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: now.replace(tzinfo=None)
    credentials = botocore.credentials.Credentials(case["access"], case["secret"], case["token"] or None)
    request = botocore.awsrequest.AWSRequest("POST", case["url"], case["headers"], case["body"].encode())
    botocore.auth.SigV4Auth(credentials, "sqs", case["region"]).add_auth(request)
    print(request.headers["Authorization"])
"""


@pytest.mark.skipif(bool(why_no_sqs()), reason=why_no_sqs())
def test_requests_are_signed_as_botocore_signs_them() -> None:
    cases: list[Any] = [
        {
            "access": "AKIA",
            "secret": "s/+e",
            "token": token,
            "region": region,
            "url": f"https://sqs.{region}.amazonaws.com/",
            "headers": {"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0"},
            "body": body,
            "now": now,
        }
        for token in ("", "t+/=")
        for region in ("eu-west-1", "us-gov-east-1")
        for body in ("", '{"MessageBody": "é ✓"}')
        for now in (0, 1790000000)
    ]
    ran = subprocess.run(
        [str(MOTO / "python"), "-c", ORACLE], input=json.dumps(cases), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    for case, expected in zip(cases, ran.stdout.splitlines(), strict=True):
        credentials = Credentials(case["access"], case["secret"], case["token"])
        now = datetime.fromtimestamp(case["now"], UTC)
        body = case["body"].encode()
        made = signed(
            credentials, "POST", case["url"], case["headers"], body, region=case["region"], service="sqs", now=now
        )
        assert made["Authorization"] == expected


class Answers:
    """A pool with prepared responses."""

    def __init__(self, *bodies: str, status: int = 200) -> None:
        self._bodies, self._status = list(bodies), status
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def request(self, method: str, url: str, headers: dict[str, str], **_rest: Any) -> Any:
        """Return the next response."""
        self.requests.append((method, url, headers))
        return type("Answer", (), {"status": self._status, "data": self._bodies.pop(0).encode()})


STS = "<R><AccessKeyId>K</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken></R>"
KEY = json.dumps({"AccessKeyId": "K", "SecretAccessKey": "S", "Token": "T"})


@pytest.mark.parametrize(
    ("env", "answers", "where"),
    [
        ({"AWS_ACCESS_KEY_ID": "K", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"}, [], ""),
        ({"AWS_ROLE_ARN": "r", "AWS_WEB_IDENTITY_TOKEN_FILE": "token"}, [STS], "https://sts.eu-west-1.amazonaws.com/"),
        (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "token",
            },
            [KEY],
            "http://169.254.170.23/v1/credentials",
        ),
        ({}, ["token", "role", KEY], "http://169.254.169.254/latest/meta-data/iam/security-credentials/role"),
    ],
)
def test_aws_credentials_are_read_in_the_order_of_aws_clients(
    env: dict[str, str], answers: list[str], where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("web-token\n")
    pool: Any = Answers(*answers)
    credentials = find_credentials(env, "eu-west-1", pool)
    assert (credentials.access_key, credentials.secret_key, credentials.session_token) == ("K", "S", "T")
    assert (pool.requests[-1][1] if pool.requests else "") == where
    assert "S" not in repr(credentials).removeprefix("Credentials")


def test_aws_credentials_from_a_file_and_none(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = K\naws_secret_access_key = S\n")
    pool: Any = Answers("", status=404)
    result = find_credentials({"AWS_SHARED_CREDENTIALS_FILE": str(file)}, "eu-west-1", pool)
    assert (result.access_key, result.secret_key, result.session_token) == ("K", "S", "")
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "AWS_EC2_METADATA_DISABLED": "true"}
    with pytest.raises(BrokerError, match="no AWS credentials"):
        find_credentials(env, "eu-west-1", pool)


def test_the_pods_program_runs_without_the_kubernetes_client() -> None:
    """The image does not have it."""
    code = "import sys; sys.modules['kubernetes'] = None; import messages.service, messages.connection"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
