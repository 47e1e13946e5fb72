"""Where the API server is and as whom to speak to it, as Kubernetes' own tools find it out.

A process in a pod needs its ServiceAccount alone, so it reads that by itself. A kubeconfig may hold anything that
``kubectl`` takes, plugins that fetch credentials included, so that is left to the official client, which is imported
for it alone: its models take most of a second and 40 MB.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import urllib3
import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS = 60.0
"""The kubelet replaces the token well before it expires; it is read again this often."""
UNREADABLE = (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, AttributeError)
"""What the official client raises for a file that is no kubeconfig."""


class NoCluster(Exception):
    """Nothing says where the API server is, or what says it cannot be read."""


@dataclass(frozen=True)
class Configuration:
    """An API server, and a way to it."""

    host: str
    """Its URL, without a trailing slash."""
    pool: Callable[[int], urllib3.PoolManager]
    """Makes a pool of so many connections, which trusts the API server's CA and has the client certificate, if any."""
    headers: Callable[[], Mapping[str, str]]
    """The headers of each request that say who asks."""


def load_configuration(kubeconfig: str | None = None) -> Configuration:
    """Credentials: those of ``kubeconfig`` if given, else the pod's own, else ``KUBECONFIG``'s.

    Raises:
        NoCluster: if there are none, or what there is is no kubeconfig.
    """
    if kubeconfig is None and (SERVICE_ACCOUNT / "token").exists():
        return in_cluster(os.environ, SERVICE_ACCOUNT)
    return _from_kubeconfig(kubeconfig)


def without_tls(host: str) -> Configuration:
    """An API server without TLS that asks nobody who he is."""
    return Configuration(host, lambda size: urllib3.PoolManager(maxsize=size), dict)


def in_cluster(environment: Mapping[str, str], directory: Path) -> Configuration:
    """A pod's own, from its environment and the files of its ServiceAccount in ``directory``.

    Raises:
        NoCluster: if one is missing.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    authority = directory / "ca.crt"
    if not host or not port:
        raise NoCluster("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, as they are in every pod")
    if not authority.is_file():
        raise NoCluster(f"{authority} is missing, the API server's CA, which every pod has")
    address = f"[{host}]" if ":" in host else host
    token = _Token(directory / "token")
    token.headers()

    def pool(size: int) -> urllib3.PoolManager:
        return urllib3.PoolManager(maxsize=size, ca_certs=str(authority), cert_reqs="CERT_REQUIRED")

    return Configuration(f"https://{address}:{port}", pool, token.headers)


class _Token:
    """A ServiceAccount's token, which the kubelet replaces from time to time."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._headers = path, float("-inf"), dict[str, str]()

    def headers(self) -> Mapping[str, str]:
        """The request header with the token.

        Raises:
            NoCluster: if it cannot be read, and never could.
        """
        if time.monotonic() - self._read > TOKEN_SECONDS:
            try:
                self._headers = {"Authorization": f"Bearer {self._path.read_text().strip()}"}
            except OSError as error:
                if not self._headers:
                    raise NoCluster(f"the ServiceAccount's token cannot be read: {error}") from error
            self._read = time.monotonic()
        return self._headers


def _from_kubeconfig(kubeconfig: str | None) -> Configuration:
    try:
        import kubernetes.client
        import kubernetes.config
    except ImportError:
        wanted = "a kubeconfig is read by the package `kubernetes`, which is not installed"
        raise NoCluster(f"{wanted} (pip install kubernetes); the operator's image runs in a cluster alone") from None

    official: Any = kubernetes.client.Configuration()  # the type stubs know only half of it
    try:
        kubernetes.config.load_kube_config(config_file=kubeconfig, client_configuration=official)
    except kubernetes.config.ConfigException as error:
        raise NoCluster(str(error)) from error
    except UNREADABLE as error:
        raise NoCluster(f"{kubeconfig or '$KUBECONFIG'} is no kubeconfig: {error}") from error

    def pool(size: int) -> urllib3.PoolManager:
        official.connection_pool_maxsize = size
        official.retries = False
        made: urllib3.PoolManager = cast(Any, kubernetes.client.ApiClient(official)).rest_client.pool_manager
        return made

    def headers() -> Mapping[str, str]:
        return {setting["key"]: setting["value"] for setting in official.auth_settings().values()}

    return Configuration(official.host.rstrip("/"), pool, headers)
