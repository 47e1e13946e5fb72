"""A Kubernetes client for plain JSON, by orjson and urllib3.

``kubernetes.client`` builds a model object for every field of every object it reads; the operator needs the JSON.
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
"""A resource version that no object has: the first write to etcd makes version 2. An apply with it can only create."""
CONNECT_TIMEOUT = 5.0
PAGE = 500
"""Objects in one page of a list."""
LIST_TIMEOUT = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=60.0)
"""Of a page, also for a client that waits less for a single object. The API server itself gives up after 60 s."""
LIST_ATTEMPTS = 3
READ_TIMEOUT = 15.0
"""Seconds. Server-side apply through an admission webhook may take the webhook's whole timeout."""


def version_of(info: Object) -> tuple[int, int]:
    """Major and minor version in what ``/version`` answers.

    Some builds leave ``major`` and ``minor`` blank, and some put a ``+`` behind ``minor``; ``gitVersion`` is whole.

    Raises:
        ApiError: if it names no version.
    """
    match = re.match(r"v(\d+)\.(\d+)", str(info.get("gitVersion")))
    match = match or re.match(r"(\d+)\.(\d+)", f"{info.get('major')}.{info.get('minor')}")
    if match is None:
        raise ApiError(0, "NoVersion", f"the API server names no version in /version; it answers {info!r}")
    return int(match[1]), int(match[2])


class Client:
    """Requests to one API server. Safe to share between threads."""

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
        """One request; the answer as JSON, or as an open urllib3 response if ``stream``.

        Raises:
            ApiError: for every other answer, and with code 0 if there is none, or none was asked for
                because this process may not write (any more).
        """
        if method != "GET" and not self._may_write():
            raise ApiError(0, "NotLeading", f"{method} {path} was not sent: another process leads")
        if not self._throttle.wait(self._patience):
            raise ApiError(0, "Unreachable", f"{method} {path} was not sent: the API server has not been well just now")
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
            raise ApiError(0, "Unreadable", f"answer of {path} is not JSON: {failure}") from None

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
        """Send one request and return the response, whatever its code.

        Raises:
            ApiError: with code 0, if there is no response.
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
            # A write waits for admission, so one that takes too long may be somebody's webhook.
            late = isinstance(failure, urllib3.exceptions.ReadTimeoutError) and method != "GET"
            self._throttle.failed(about=path if late else "")
            self.close_idle_connections()
            seconds = time.monotonic() - started
            message = f"no answer after {seconds:.1f}s from {self._host}: {failure}"
            raise ApiError(0, "Unreachable", message) from failure

    def close_idle_connections(self) -> None:
        """Close those that are idle: what one has met the others may meet too, each after its whole time limit."""
        self._pool.clear()

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object, or None if there is none."""
        try:
            return cast(Object, self.request("GET", resource.path(namespace, name)))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, resource: Resource, namespace: str = "", **query: str) -> list[Object]:
        """All objects of a namespace, or of all."""
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
        """All objects, read in pages that have a time limit of their own, and the version of the list.

        Args:
            resource: what they are.
            namespace: theirs; empty for all.
            query: selectors and the like.
            each: makes of an object what is kept of it, so that only a page at a time is held whole.
            on_page: called for each page that has arrived.
        """
        for attempt in range(LIST_ATTEMPTS):
            objects: Objects = []
            page: Mapping[str, Any] = {**query, "limit": PAGE}
            try:
                while True:
                    answer = self.request("GET", resource.path(namespace), query=page, timeout=LIST_TIMEOUT)
                    on_page()
                    objects += map(each, answer["items"])
                    metadata = answer.get("metadata") or {}
                    if not metadata.get("continue"):
                        return objects, str(metadata.get("resourceVersion", ""))
                    # The version of the first page holds for the others.
                    rest = {k: v for k, v in query.items() if not k.startswith("resourceVersion")}
                    page = {**rest, "limit": PAGE, "continue": metadata["continue"]}
            except ApiError as error:
                if error.code != 410 or attempt == LIST_ATTEMPTS - 1 or "continue" not in page:
                    raise  # else the list took longer than the API server remembers it: once more
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
        """Server-side apply of ``obj`` with force: the object as it is then.

        Args:
            resource: what it is.
            obj: what is wanted of it.
            manager: the field manager.
            subresource: the part of it, if not the object itself.
            uid: of the object that was read and is to be changed, and no other of its name; empty if there was
                none, so that it is created and nothing else. By default whatever is there is changed.
            dry_run: ask what would become of it, and change nothing.

        Raises:
            ApiError: code 409 if the object of that name is another one by now.
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
        """JSON merge patch: the object as it is then; with ``uid``, of that object and no other of its name."""
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
                message = f"{path} names another object than the one that was read: {error.message}"
                raise ApiError(409, "Conflict", message) from None
            raise

    def create(self, resource: Resource, obj: Object) -> Object:
        """Create ``obj``: the object as it is then."""
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
        """Delete in the background; only the object of ``uid``, if given. False if it was not there."""
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
        """Whether the API server serves a resource, from discovery."""
        try:
            answer = self.request("GET", f"/apis/{api_version}")
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return any(r.get("name") == plural for r in answer.get("resources") or ())

    def version(self) -> tuple[int, int]:
        """Kubernetes' major and minor version.

        Raises:
            ApiError: if the server does not answer, or by nothing that has a version.
        """
        return version_of(self.request("GET", "/version"))
