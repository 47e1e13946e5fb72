"""``spec.transport``: the queue system of an actor, its address, and the user's Secrets with its credentials.

The sidecar and KEDA connect to the same broker with different settings. This module derives the values that both need,
such as the endpoint of SQS or the port for TLS. No other module derives them, so the two cannot differ.
"""

import re
from ipaddress import IPv6Address
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from crds.base import DNS_SUBDOMAIN, Model, cel, fail

AMQP_PORT: Final = 5672
AMQPS_PORT: Final = 5671

_HOST: Final = r"([A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])"
HOST: Final = rf"^{_HOST}$"
HOST_MESSAGE: Final = (
    "must be a host name, an IPv4 address or an IPv6 address in brackets; the port goes into port, "
    "a virtual host into vhost, and a whole URL into a Secret that urlSecretRef names"
)
MANAGEMENT: Final = rf"^https?://{_HOST}(:[0-9]{{1,5}})?(/[-A-Za-z0-9_.~%]+)*$"
MANAGEMENT_MESSAGE: Final = (
    "must be http(s)://<host>[:<port>][/<path>] without a user, a query, a virtual host or a trailing slash; "
    "a URL with any of these goes into a Secret that management.urlSecretRef names"
)
BASE_URL: Final = r"^https?://[^\s/?#@]+/[^\s/?#@]+$"
BASE_URL_MESSAGE: Final = (
    "must be https://<host>/<account> without the queue's name, a query or a trailing slash, "
    "because KEDA and the sidecar append the queue's name"
)
AMAZON: Final = r"^https?://[^/]*\.(amazonaws\.com(\.cn)?|api\.aws)(:[0-9]+)?/"
ACCOUNT: Final = r"/[0-9]{12}$"
ACCOUNT_MESSAGE: Final = "must end with the account's 12 digits, and without the queue's name"
REGIONAL: Final = r"^https?://([^/]*\.)?[a-z]{2}(-[a-z]+)+-[0-9]+\."
"""URLs with a host label that looks like a region."""
KNOWN_HOSTS: Final = r"^https?://[^/]*\.(amazonaws\.com(\.cn)?|api\.aws|localhost\.localstack\.cloud)(:[0-9]+)?/"
"""URLs of hosts where a label that looks like a region is a region."""


def aws_host(service: str, region: str) -> str:
    """Return the host of an AWS service in ``region``. Regions in China have a different domain."""
    return f"{service}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def _quoted(pattern: str) -> str:
    """Return ``pattern`` as a CEL string."""
    return "'" + pattern.replace("\\", "\\\\") + "'"


class SecretKeyRef(Model):
    """One key of a Secret in the actor's namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the Secret.")]
    key: Annotated[str, Field(min_length=1, max_length=253, description="Key in the Secret's data.")]


class TLS(Model):
    """Certificates for the connection to RabbitMQ, each in a Secret of the actor's namespace."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.certSecretRef) == has(self.keySecretRef)",
                "certSecretRef: a client certificate needs certSecretRef and keySecretRef together",
            )
        )
    )

    ca_secret_ref: Annotated[
        SecretKeyRef | None,
        Field(description="Secret key with an additional CA (PEM) that verifies the broker's certificate."),
    ] = None
    cert_secret_ref: Annotated[
        SecretKeyRef | None,
        Field(
            description="Secret key with a client certificate (PEM). Without passwordSecretRef, sidecar and KEDA also "
            "log in with it (SASL EXTERNAL). With urlSecretRef, the sidecar uses it only if the URL contains "
            "`?certfile=/etc/asya/rabbitmq/client/tls.crt&keyfile=/etc/asya/rabbitmq/client/tls.key`."
        ),
    ] = None
    key_secret_ref: Annotated[
        SecretKeyRef | None, Field(description="Secret key with the client certificate's key (PEM).")
    ] = None

    @model_validator(mode="after")
    def _check_pair(self) -> "TLS":
        if (self.cert_secret_ref is None) != (self.key_secret_ref is None):
            raise fail("certSecretRef", "a client certificate needs certSecretRef and keySecretRef together")
        return self


class Management(Model):
    """RabbitMQ's management API. Unlike AMQP, it also counts the messages that pods are processing."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.url) != has(self.urlSecretRef)",
                "url: exactly one of url and urlSecretRef is required",
            )
        )
    )

    url: Annotated[
        str | None,
        Field(
            max_length=1024,
            description="URL of the management API, as `http(s)://<host>:<port>`. User name, password and virtual host "
            "are the same as for AMQP.",
            json_schema_extra=cel((f"self.matches({_quoted(MANAGEMENT)})", MANAGEMENT_MESSAGE)),
        ),
    ] = None
    url_secret_ref: Annotated[
        SecretKeyRef | None,
        Field(
            description="Secret key with a whole URL instead of `url`: "
            "`http(s)://<user>:<password>@<host>:<port>/<vhost>`, percent-encoded."
        ),
    ] = None

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None and not re.match(MANAGEMENT, url):
            raise PydanticCustomError("asya", MANAGEMENT_MESSAGE)
        return url

    @model_validator(mode="after")
    def _check_one_url(self) -> "Management":
        if (self.url is None) == (self.url_secret_ref is None):
            raise fail("url", "exactly one of url and urlSecretRef is required")
        return self


WHOLE_URL = (
    "holds the whole URL, so host, port, username, passwordSecretRef, vhost and management.url must not be set; "
    "management.urlSecretRef may be"
)


class RabbitMQ(Model):
    """The address of RabbitMQ and the credentials: either ``host`` with its related fields, or ``urlSecretRef``."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("has(self.host) || has(self.urlSecretRef)", "host: required unless urlSecretRef is set"),
            (
                "!has(self.urlSecretRef) || (!has(self.host) && !has(self.passwordSecretRef) && !has(self.vhost)"
                " && self.port == 5672 && self.username == 'guest'"
                " && !(has(self.management) && has(self.management.url)))",
                f"urlSecretRef: {WHOLE_URL}",
            ),
        )
    )

    host: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=253,
            description="Host name or IP address of the broker. An IPv6 address needs brackets.",
            json_schema_extra=cel((f"self.matches({_quoted(HOST)})", HOST_MESSAGE)),
        ),
    ] = None
    port: Annotated[int, Field(ge=1, le=65535, description="AMQP port of the broker. With `tls`, 5672 means 5671.")] = (
        AMQP_PORT
    )
    username: Annotated[str, Field(min_length=1, max_length=255, description="User name.")] = "guest"
    password_secret_ref: Annotated[
        SecretKeyRef | None,
        Field(
            description="Secret key with the password. Absent: `guest`. Released sidecars put the password into a URL "
            "without escaping: if it contains any of `@ / : # %`, use urlSecretRef with a percent-encoded URL instead."
        ),
    ] = None
    url_secret_ref: Annotated[
        SecretKeyRef | None,
        Field(
            description="Secret key with a whole `amqp(s)://…` URL, percent-encoded. Use it for passwords with special "
            "characters and for KEDA before 2.16. Excludes host, port, username, passwordSecretRef and vhost."
        ),
    ] = None
    vhost: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=255,
            pattern=r"^[^\s?#]+$",
            description="Virtual host, without percent-encoding. Absent: `/`.",
        ),
    ] = None
    tls: Annotated[
        TLS | None,
        Field(
            description="Makes sidecar and KEDA connect by TLS (`amqps`). Use `{}` if a public CA issued the broker's "
            "certificate."
        ),
    ] = None
    management: Annotated[
        Management | None,
        Field(
            description="Makes KEDA read the queue's length from the management API instead of AMQP. This API also "
            "counts messages in process, so KEDA keeps pods that are busy. AMQP counts only waiting messages."
        ),
    ] = None

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str | None) -> str | None:
        if host is None:
            return None
        if not re.match(HOST, host):
            raise PydanticCustomError("asya", HOST_MESSAGE)
        if host.startswith("["):
            try:
                IPv6Address(host[1:-1])
            except ValueError:
                raise PydanticCustomError("asya", HOST_MESSAGE) from None
        return host

    @model_validator(mode="after")
    def _check_host_or_url(self) -> "RabbitMQ":
        if self.url_secret_ref is None:
            if self.host is None:
                raise fail("host", "required unless urlSecretRef is set")
        elif (
            self.host is not None
            or self.password_secret_ref is not None
            or self.vhost is not None
            or (self.management is not None and self.management.url is not None)
            or (self.port, self.username) != (AMQP_PORT, "guest")
        ):
            raise fail("urlSecretRef", WHOLE_URL)
        return self

    @property
    def address(self) -> str:
        """``amqp(s)://<host>:<port>``, without user, password and virtual host. Valid only if ``host`` is set."""
        secure = self.tls is not None
        port = AMQPS_PORT if secure and self.port == AMQP_PORT else self.port
        return f"{'amqps' if secure else 'amqp'}://{self.host}:{port}"

    @property
    def quoted_username(self) -> str:
        """The user name, percent-encoded for a URL."""
        return quote(self.username, safe="")

    @property
    def path(self) -> str:
        """The virtual host as the path of a URL."""
        return "/" if self.vhost in (None, "/") else f"/{quote(self.vhost or '', safe='')}"

    @property
    def uses_certificate(self) -> bool:
        """Whether sidecar and KEDA log in with a client certificate."""
        return self.url_secret_ref is None and self.password_secret_ref is None and self.has_client_certificate

    @property
    def has_client_certificate(self) -> bool:
        """Whether there is a client certificate."""
        return self.tls is not None and self.tls.cert_secret_ref is not None


class SQS(Model):
    """The address of SQS. The credentials come from the pod's identity (IRSA, EKS pod identity)."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                f"!self.queueBaseUrl.matches({_quoted(KNOWN_HOSTS)})"
                f" || !self.queueBaseUrl.matches({_quoted(REGIONAL)})"
                " || self.queueBaseUrl.matches('^https?://([^/]*\\\\.)?' + self.region + '\\\\.')",
                "region: must be the region that queueBaseUrl names",
            )
        )
    )

    region: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$", description="AWS region.")]
    queue_base_url: Annotated[
        str,
        Field(
            max_length=1024,
            description="URL of the account's queues without the queue's name or a trailing slash: "
            "`https://sqs.<region>.amazonaws.com/<account>`. If the URL has another host (a VPC endpoint, LocalStack, "
            "ElasticMQ), sidecar and KEDA use that host as their endpoint.",
            json_schema_extra=cel(
                (f"self.matches({_quoted(BASE_URL)})", BASE_URL_MESSAGE),
                (f"!self.matches({_quoted(AMAZON)}) || self.matches({_quoted(ACCOUNT)})", ACCOUNT_MESSAGE),
            ),
        ),
    ]
    visibility_timeout: Annotated[
        int,
        Field(ge=0, le=43200, description="Seconds that SQS hides a received message from other consumers."),
    ] = 300
    wait_time_seconds: Annotated[int, Field(ge=0, le=20, description="Duration of one long poll, in seconds.")] = 20

    @field_validator("queue_base_url")
    @classmethod
    def _check_base_url(cls, url: str) -> str:
        if not re.match(BASE_URL, url):
            raise PydanticCustomError("asya", BASE_URL_MESSAGE)
        if re.match(AMAZON, url) and not re.search(ACCOUNT, url):
            raise PydanticCustomError("asya", ACCOUNT_MESSAGE)
        return url

    @model_validator(mode="after")
    def _check_region(self) -> "SQS":
        url = self.queue_base_url
        labels = (urlsplit(url).hostname or "").split(".")
        if re.match(KNOWN_HOSTS, url) and re.match(REGIONAL, url) and self.region not in labels:
            raise fail("region", f"must be the region that queueBaseUrl names; found {self.region!r} and {url}")
        return self

    @property
    def endpoint(self) -> str | None:
        """The endpoint to configure in sidecar and KEDA. None if it is the region's default."""
        url = urlsplit(self.queue_base_url)
        default_host = aws_host("sqs", self.region)
        return None if (url.scheme, url.netloc) == ("https", default_host) else f"{url.scheme}://{url.netloc}"


class Transport(Model):
    """The queue system. ``type`` selects the section that is required; the other section is forbidden."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("self.type != 'rabbitmq' || has(self.rabbitmq)", "rabbitmq: required when type is rabbitmq"),
            ("self.type == 'rabbitmq' || !has(self.rabbitmq)", "rabbitmq: forbidden unless type is rabbitmq"),
            ("self.type != 'sqs' || has(self.sqs)", "sqs: required when type is sqs"),
            ("self.type == 'sqs' || !has(self.sqs)", "sqs: forbidden unless type is sqs"),
        )
    )

    type: Annotated[Literal["rabbitmq", "sqs"], Field(description="Type of the queue system.")]
    rabbitmq: Annotated[RabbitMQ | None, Field(description="RabbitMQ. Required when type is rabbitmq.")] = None
    sqs: Annotated[SQS | None, Field(description="Amazon SQS. Required when type is sqs.")] = None

    @model_validator(mode="after")
    def _check_sections(self) -> "Transport":
        for name, section in (("rabbitmq", self.rabbitmq), ("sqs", self.sqs)):
            if self.type == name and section is None:
                raise fail(name, f"required when type is {name}")
            if self.type != name and section is not None:
                raise fail(name, f"forbidden unless type is {name}")
        return self

    @property
    def counts_waiting_only(self) -> bool:
        """Whether KEDA counts only waiting messages, without those that a pod is processing."""
        return self.rabbitmq is not None and self.rabbitmq.management is None
