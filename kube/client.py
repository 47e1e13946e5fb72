"""A Kubernetes client that returns parsed JSON. It uses orjson and urllib3.

The package ``kubernetes`` builds a model object for every field of every object, but the operator needs only the JSON.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import urlencode

import orjson
import urllib3

from crds.names import OPERATOR
from kube.credentials import Configuration
from kube.failures import ApiError, is_suspect
from kube.objects import Object, Objects
from kube.resources import Resource
from kube.throttle import Throttle
from telemetry.metrics.shared import API_REQUESTS

NEVER = "1"
"""A resource version that no object has, because etcd starts at 2. An apply with it can only create an object."""
CONNECT_TIMEOUT = 5.0
PAGE = 500
"""Number of objects in one page of a list."""
LIST_TIMEOUT = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=60.0)
"""Timeout of one page, independent of the client's read timeout. The API server itself gives up after 60 s."""
LIST_ATTEMPTS = 3
READ_TIMEOUT = 15.0
"""Default read timeout in seconds. An admission webhook may use its whole timeout during a server-side apply."""


def version_of(info: Object) -> tuple[int, int]:
    """Return the major and minor version in the response to ``/version``.

    Some builds leave ``major`` and ``minor`` empty, and some append ``+`` to ``minor``. ``gitVersion`` is complete.

    Raises:
        ApiError: the response contains no version.
    """
    match = re.match(r"v(\d+)\.(\d+)", str(info.get("gitVersion")))
    match = match or re.match(r"(\d+)\.(\d+)", f"{info.get('major')}.{info.get('minor')}")
    if match is None:
        raise ApiError(0, "NoVersion", f"the API server's response to /version contains no version: {info!r}")
    return int(match[1]), int(match[2])


class Client:
    """Sends requests to one API server. All methods are thread-safe.

    Args:
        configuration: the address and the credentials.
        pool_size: the maximum number of open connections.
        may_write: whether this process may write now. If it returns False, the client refuses all writes.
        read_timeout: the timeout of a response, in seconds. A request waits at most as long for the throttle.
        throttle: the throttle. By default, the client creates one.
    """

    def __init__(
        self,
        configuration: Configuration,
        pool_size: int = 16,
        may_write: Callable[[], bool] = lambda: True,
        read_timeout: float = READ_TIMEOUT,
        throttle: Throttle | None = None,
    ) -> None:
        self._host, self._headers = configuration.host, configuration.headers
        self._pool = configuration.pool(pool_size)
        self._may_write = may_write
        self._throttle, self._patience = throttle or Throttle(), read_timeout
        self._timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT, read_timeout), read=read_timeout)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout: urllib3.Timeout | None = None,
        stream: bool = False,
    ) -> Any:
        """Send one request. Return the response as JSON, or as an open urllib3 response if ``stream`` is true.

        Raises:
            ApiError: the API server returned an error. Code 0: there is no response, or the client did not send the
                request because this process may not write or because the API server is failing.
        """
        if method != "GET" and not self._may_write():
            raise ApiError(0, "NotLeading", f"{method} {path} was not sent: another process leads")
        if not self._throttle.wait(self._patience):
            raise ApiError(0, "Unreachable", f"{method} {path} was not sent: the API server is failing")
        response = self._send(method, path, query, body, content_type, timeout or self._timeout, stream)
        API_REQUESTS.labels(method, str(response.status)).inc()
        if response.status >= 300:
            error = ApiError.of(response)
            response.release_conn()
            if error.is_server_unwell:
                self._throttle.failed(error.retry_after, about=path if is_suspect(error.code) else "")
            else:
                self._throttle.succeeded()
            raise error
        self._throttle.succeeded()
        if stream:
            return response
        try:
            return orjson.loads(response.data)
        except orjson.JSONDecodeError as failure:
            raise ApiError(0, "Unreadable", f"the response to {path} is not JSON: {failure}") from None

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Any,
        content_type: str,
        timeout: urllib3.Timeout,
        stream: bool,
    ) -> Any:
        """Send one request and return the response, with any status code.

        Raises:
            ApiError: code 0, there is no response.
        """
        url = f"{self._host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Content-Type": content_type, "Accept": "application/json", "User-Agent": OPERATOR}
        started = time.monotonic()
        try:
            return self._pool.request(
                method,
                url,
                body=None if body is None else orjson.dumps(body),
                headers={**headers, **self._headers()},
                timeout=timeout,
                preload_content=not stream,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as failure:
            API_REQUESTS.labels(method, "0").inc()
            # A write waits for admission, so a slow webhook may cause the timeout, not the API server.
            is_slow_write = isinstance(failure, urllib3.exceptions.ReadTimeoutError) and method != "GET"
            self._throttle.failed(about=path if is_slow_write else "")
            self.close_idle_connections()
            seconds = time.monotonic() - started
            message = f"no response from {self._host} after {seconds:.1f}s: {failure}"
            raise ApiError(0, "Unreachable", message) from failure

    def close_idle_connections(self) -> None:
        """Close all idle connections. They may be broken too, and each would fail only after its whole timeout."""
        self._pool.clear()

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return the object, or None if it does not exist."""
        try:
            return cast(Object, self.request("GET", resource.path(namespace, name)))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, resource: Resource, namespace: str = "", **query: str) -> list[Object]:
        """Return all objects in a namespace, or in all namespaces. ``query`` can contain selectors."""
        return self.list_all(resource, namespace, query)[0]

    def list_all(
        self,
        resource: Resource,
        namespace: str,
        query: Mapping[str, Any],
        *,
        each: Callable[[Object], Object] = lambda obj: obj,
        on_page: Callable[[], None] = lambda: None,
    ) -> tuple[Objects, str]:
        """Return all objects and the resource version of the list. The client reads them page by page.

        Each page has its own timeout, :data:`LIST_TIMEOUT`.

        Args:
            resource: the resource to list.
            namespace: the namespace. Empty for all namespaces.
            query: parameters of the request, such as selectors.
            each: converts each object, for example to its needed parts. Only one page is in memory unconverted.
            on_page: called after each page.
        """
        for attempt in range(LIST_ATTEMPTS):
            objects: Objects = []
            page: Mapping[str, Any] = {**query, "limit": PAGE}
            try:
                while True:
                    response = self.request("GET", resource.path(namespace), query=page, timeout=LIST_TIMEOUT)
                    on_page()
                    objects += map(each, response["items"])
                    metadata = response.get("metadata") or {}
                    if not metadata.get("continue"):
                        return objects, str(metadata.get("resourceVersion", ""))
                    # All pages have the resource version of the first page.
                    rest = {k: v for k, v in query.items() if not k.startswith("resourceVersion")}
                    page = {**rest, "limit": PAGE, "continue": metadata["continue"]}
            except ApiError as error:
                if error.code != 410 or attempt == LIST_ATTEMPTS - 1 or "continue" not in page:
                    raise
                # The list took so long that its ``continue`` token expired. Start again.
        raise AssertionError("unreachable")

    def apply(
        self,
        resource: Resource,
        obj: Object,
        *,
        manager: str = OPERATOR,
        subresource: str = "",
        uid: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Apply ``obj`` by server-side apply with force, and return the resulting object.

        Args:
            resource: the object's resource.
            obj: the desired fields.
            manager: the field manager.
            subresource: the subresource to apply. Empty for the object itself.
            uid: apply only to the object with this uid. Empty: only create the object. None: create it or change it.
            dry_run: return the result without a change.

        Raises:
            ApiError: code 409, the name now belongs to an object with another uid.
        """
        metadata = obj["metadata"]
        precondition = {} if uid is None else {"uid": uid} if uid else {"resourceVersion": NEVER}
        return self._patch(
            resource.path(metadata.get("namespace", ""), metadata["name"], subresource),
            {**obj, "metadata": {**metadata, **precondition}},
            "application/apply-patch+yaml",
            {"fieldManager": manager, "force": "true", **({"dryRun": "All"} if dry_run else {})},
        )

    def merge_patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Object,
        *,
        subresource: str = "",
        uid: str | None = None,
    ) -> Object:
        """Send a JSON merge patch and return the resulting object. With ``uid``, patch only the object with this uid.

        Raises:
            ApiError: code 409, the name now belongs to an object with another uid.
        """
        if uid is not None:
            patch = {**patch, "metadata": {**(patch.get("metadata") or {}), "uid": uid}}
        return self._patch(
            resource.path(namespace, name, subresource),
            patch,
            "application/merge-patch+json",
            {"fieldManager": OPERATOR},
        )

    def _patch(self, path: str, body: Object, content_type: str, query: Mapping[str, str]) -> Object:
        try:
            return cast(Object, self.request("PATCH", path, query=query, body=body, content_type=content_type))
        except ApiError as error:
            if error.code == 422 and "metadata.uid: Invalid value" in error.message:
                message = f"{path} now names another object: {error.message}"
                raise ApiError(409, "Conflict", message) from None
            raise

    def create(self, resource: Resource, obj: Object) -> Object:
        """Create ``obj`` and return the resulting object."""
        return cast(
            Object,
            self.request(
                "POST",
                resource.path(obj["metadata"].get("namespace", "")),
                query={"fieldManager": OPERATOR},
                body=obj,
            ),
        )

    def delete(self, resource: Resource, namespace: str, name: str, *, uid: str | None = None) -> bool:
        """Delete an object with background propagation. With ``uid``, delete only the object with this uid.

        Returns False if the object does not exist or has another uid.
        """
        body: Object = {"propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        try:
            self.request("DELETE", resource.path(namespace, name), body=body)
        except ApiError as error:
            if error.code in (404, 409):
                return False
            raise
        return True

    def serves(self, api_version: str, plural: str) -> bool:
        """Whether the API server serves a resource, according to discovery."""
        try:
            discovered = self.request("GET", f"/apis/{api_version}")
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return any(r.get("name") == plural for r in discovered.get("resources") or ())

    def version(self) -> tuple[int, int]:
        """Return Kubernetes' major and minor version.

        Raises:
            ApiError: the server does not respond, or its response contains no version.
        """
        return version_of(self.request("GET", "/version"))
