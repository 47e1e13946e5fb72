"""AWS credentials as a pod has them, and the signature of a request (Signature Version 4).

The project signs requests with its own code, for two reasons. botocore has 32 MB and needs another version of
python-dateutil than the Kubernetes client. Libraries that only sign need a newer Python or are not maintained. A test
compares the signature with botocore's. Docs: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import configparser
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import urllib3

from crds.transport import aws_host
from messages.broker import BrokerError

ALGORITHM: Final = "AWS4-HMAC-SHA256"
INSTANCE_METADATA: Final = "http://169.254.169.254"
TIMEOUT: Final = urllib3.Timeout(connect=3.0, read=30.0)
NO_CREDENTIALS: Final = (
    "no AWS credentials: the pod needs an identity (IRSA, EKS pod identity) or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY in spec.sidecar.env; with --local they are your own, from the environment or "
    "~/.aws/credentials"
)


@dataclass(frozen=True)
class Credentials:
    """An access key. Its ``repr`` does not show the secret parts."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


def signed(
    credentials: Credentials,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    region: str,
    service: str,
    now: datetime,
) -> dict[str, str]:
    """``headers`` with the headers that sign the request.

    Args:
        credentials: the access key.
        method: of the request.
        url: of the request.
        headers: the request's other headers, all of which are signed.
        body: of the request.
        region: such as ``us-east-1``.
        service: such as ``sqs``.
        now: the time, in UTC.
    """
    parts = urlsplit(url)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    all_headers = {**headers, "Host": parts.netloc, "X-Amz-Date": stamp}
    if credentials.session_token:
        all_headers["X-Amz-Security-Token"] = credentials.session_token
    lower = {name.lower(): " ".join(value.split()) for name, value in all_headers.items()}
    names = ";".join(sorted(lower))
    canonical = "\n".join(
        [
            method,
            parts.path or "/",
            parts.query,
            *(f"{name}:{lower[name]}" for name in sorted(lower)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    to_sign = "\n".join([ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"Credential={credentials.access_key}/{scope}"
    all_headers["Authorization"] = f"{ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
    return all_headers


def find_credentials(env: Mapping[str, str], region: str, pool: urllib3.PoolManager) -> Credentials:
    """The first credentials that exist.

    The order is: the environment variables, the service account's role (IRSA), the pod's identity, the credentials
    file, and the node's role.

    Raises:
        BrokerError: if there are none.
    """
    if env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
        return Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN") or "")
    if env.get("AWS_ROLE_ARN") and env.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return _of_web_identity(env, region, pool)
    if env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        return _of_container(env, pool)
    return _of_file(env) or _of_instance(env, pool)


def _of_web_identity(env: Mapping[str, str], region: str, pool: urllib3.PoolManager) -> Credentials:
    """The role of the pod's service account (IRSA)."""
    endpoint = env.get("AWS_ENDPOINT_URL_STS") or f"https://{aws_host('sts', region)}"
    query = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": env["AWS_ROLE_ARN"],
        "RoleSessionName": "kubectl-asya",
        "WebIdentityToken": _read(env["AWS_WEB_IDENTITY_TOKEN_FILE"]),
    }
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    response = _request(pool, "POST", f"{endpoint}/", form, urlencode(query).encode())
    text = response.data.decode(errors="replace")
    access_key, secret_key, token = (
        re.search(rf"<{name}>([^<]*)</{name}>", text) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
    )
    if response.status != 200 or access_key is None or secret_key is None:
        reason = re.search(r"<Message>([^<]*)</Message>", text)
        raise BrokerError(
            "AccessDenied",
            f"AWS does not give the service account its role {env['AWS_ROLE_ARN']}: "
            f"{reason[1] if reason else f'HTTP {response.status}'}",
        )
    return Credentials(access_key[1], secret_key[1], token[1] if token else "")


def _of_container(env: Mapping[str, str], pool: urllib3.PoolManager) -> Credentials:
    """The identity of the pod (EKS pod identity) or of the task (ECS)."""
    token = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN") or ""
    if env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        token = _read(env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
    headers = {"Authorization": token} if token else {}
    return _of_response(_request(pool, "GET", env["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers))


def _of_file(env: Mapping[str, str]) -> Credentials | None:
    """The profile's key in the shared credentials file; None if it has none."""
    path = Path(env.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    parser = configparser.RawConfigParser()
    try:
        parser.read(path)
    except (OSError, configparser.Error) as error:
        raise BrokerError("BadSetting", f"{path} cannot be read: {type(error).__name__}") from None
    profile = env.get("AWS_PROFILE") or "default"
    if not parser.has_option(profile, "aws_access_key_id") or not parser.has_option(profile, "aws_secret_access_key"):
        return None
    section = parser[profile]
    return Credentials(
        section["aws_access_key_id"], section["aws_secret_access_key"], section.get("aws_session_token", "")
    )


def _of_instance(env: Mapping[str, str], pool: urllib3.PoolManager) -> Credentials:
    """The role of the node, from its metadata service (IMDSv2)."""
    if (env.get("AWS_EC2_METADATA_DISABLED") or "").lower() == "true":
        raise BrokerError("AccessDenied", NO_CREDENTIALS)
    base = env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or INSTANCE_METADATA
    try:
        token = _request(pool, "PUT", f"{base}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"})
        headers = {"X-aws-ec2-metadata-token": token.data.decode(errors="replace")}
        path = f"{base}/latest/meta-data/iam/security-credentials/"
        role = _request(pool, "GET", path, headers)
    except BrokerError:
        raise BrokerError("AccessDenied", NO_CREDENTIALS) from None
    if role.status != 200 or not role.data:
        raise BrokerError("AccessDenied", NO_CREDENTIALS)
    return _of_response(_request(pool, "GET", path + role.data.decode().split()[0], headers))


def _of_response(response: Any) -> Credentials:
    try:
        key = json.loads(response.data)
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"], key.get("Token") or "")
    except (ValueError, KeyError, TypeError):
        raise BrokerError("AccessDenied", f"{NO_CREDENTIALS} (HTTP {response.status})") from None


def _request(
    pool: urllib3.PoolManager, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
) -> Any:
    try:
        return pool.request(method, url, headers=dict(headers), body=body, timeout=TIMEOUT, retries=False)
    except urllib3.exceptions.HTTPError as error:
        raise BrokerError("Unreachable", f"{urlsplit(url).netloc} does not answer: {type(error).__name__}") from None


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise BrokerError("BadSetting", f"the token of the pod's identity cannot be read: {error}") from None


def utc_now() -> datetime:
    """The current time in UTC, for a signature."""
    return datetime.now(UTC)
