"""Loads the address of the API server and the credentials, in the same way as Kubernetes' own tools.

A process in a pod needs only its ServiceAccount, so this module reads it directly. A kubeconfig may contain anything
that ``kubectl`` supports, including plugins that fetch credentials, so the official client reads it. The module imports
that client only when needed, because the import takes most of a second and 40 MB.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import urllib3

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS = 60.0
"""Interval at which the token is read again. The kubelet replaces it well before it expires."""


class NoCluster(Exception):
    """There is no configuration with the address of an API server, or it cannot be read."""


@dataclass(frozen=True)
class Configuration:
    """The address of an API server, and how to connect to it."""

    host: str
    """The server's URL, without a trailing slash."""
    pool: Callable[[int], urllib3.PoolManager]
    """Creates a pool with this many connections. It has the server's CA and the client certificate, if there is one."""
    headers: Callable[[], Mapping[str, str]]
    """Returns the authentication headers for a request."""


def load_configuration(kubeconfig: str | None = None) -> Configuration:
    """Return the configuration from ``kubeconfig`` if given, else from the pod, else from ``$KUBECONFIG``.

    Raises:
        NoCluster: there is no configuration, or the file is not a kubeconfig.
    """
    if kubeconfig is None and (SERVICE_ACCOUNT / "token").exists():
        return in_cluster(os.environ, SERVICE_ACCOUNT)
    return _from_kubeconfig(kubeconfig)


def without_tls(host: str) -> Configuration:
    """Return the configuration of an API server without TLS and authentication."""
    return Configuration(host, lambda size: urllib3.PoolManager(maxsize=size), dict)


def in_cluster(environment: Mapping[str, str], directory: Path) -> Configuration:
    """Return a pod's configuration, from its environment and the files of its ServiceAccount in ``directory``.

    Raises:
        NoCluster: a variable or a file is missing.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    authority = directory / "ca.crt"
    if not host or not port:
        raise NoCluster(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; the kubelet sets both in pods"
        )
    if not authority.is_file():
        raise NoCluster(f"{authority} is missing; the kubelet mounts the API server's CA there")
    address = f"[{host}]" if ":" in host else host
    token = _Token(directory / "token")
    token.headers()

    def pool(size: int) -> urllib3.PoolManager:
        return urllib3.PoolManager(maxsize=size, ca_certs=str(authority), cert_reqs="CERT_REQUIRED")

    return Configuration(f"https://{address}:{port}", pool, token.headers)


class _Token:
    """A ServiceAccount's token. The kubelet replaces it from time to time."""

    def __init__(self, path: Path) -> None:
        self._path, self._read_at, self._headers = path, float("-inf"), dict[str, str]()

    def headers(self) -> Mapping[str, str]:
        """Return the request header with the token.

        Raises:
            NoCluster: the token cannot be read, and no earlier token is known.
        """
        if time.monotonic() - self._read_at > TOKEN_SECONDS:
            try:
                self._headers = {"Authorization": f"Bearer {self._path.read_text().strip()}"}
            except OSError as error:
                if not self._headers:
                    raise NoCluster(f"the ServiceAccount's token cannot be read: {error}") from error
            self._read_at = time.monotonic()
        return self._headers


def _from_kubeconfig(kubeconfig: str | None) -> Configuration:
    try:
        import kubernetes.client
        import kubernetes.config
        import yaml
    except ImportError:
        problem = "a kubeconfig needs the package `kubernetes`, which is not installed"
        raise NoCluster(f"{problem} (pip install kubernetes); the operator's image runs only in a cluster") from None

    # Exceptions of the official client for a file that is not a kubeconfig.
    unreadable = (OSError, ValueError, yaml.YAMLError, TypeError, AttributeError)
    official: Any = kubernetes.client.Configuration()  # the type stubs are incomplete
    try:
        kubernetes.config.load_kube_config(config_file=kubeconfig, client_configuration=official)
    except kubernetes.config.ConfigException as error:
        raise NoCluster(str(error)) from error
    except unreadable as error:
        raise NoCluster(f"{kubeconfig or '$KUBECONFIG'} is not a kubeconfig: {error}") from error

    def pool(size: int) -> urllib3.PoolManager:
        official.connection_pool_maxsize = size
        official.retries = False
        manager: urllib3.PoolManager = cast(Any, kubernetes.client.ApiClient(official)).rest_client.pool_manager
        return manager

    def headers() -> Mapping[str, str]:
        return {setting["key"]: setting["value"] for setting in official.auth_settings().values()}

    return Configuration(official.host.rstrip("/"), pool, headers)
