"""Leader election on a Lease, safe for a process that writes.

The protocol is client-go's. The holder renews the Lease every few seconds. Another candidate takes it when it has not
changed for its duration, by the candidate's own clock. In addition:

* A request without a response counts as a failed renewal. It does not end the election.
* :attr:`Election.is_leading` becomes false by the clock alone, before another candidate may take over. A process that
  was paused therefore writes nothing when it continues.
* A process that loses the Lease, for example because the API server was unavailable, becomes a candidate again. It
  does not exit, because the kubelet would delay each further restart.
* A process that stops releases the Lease, so that its successor need not wait until the Lease expires.
"""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import urllib3

from crds.names import OPERATOR
from kube.client import Client
from kube.failures import ApiError
from kube.lease import LeaseTimes
from kube.objects import Object
from kube.resources import LEASES
from telemetry import threads
from telemetry.logs import log

REQUEST_SECONDS = 4


class Election:
    """One candidate of a leader election.

    It calls ``on_started`` on a separate thread each time it becomes the leader, and ``on_stopped`` when it loses the
    leadership. ``client`` must be able to write even when this process does not lead.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        on_started: Callable[[], None],
        on_stopped: Callable[[], None],
        times: LeaseTimes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._times = times or LeaseTimes()
        self._client, self._namespace, self._name, self.identity = client, namespace, name, identity
        self._on_started, self._on_stopped, self._clock = on_started, on_stopped, clock
        self._renewed: float | None = None
        """Time at which the last successful renewal was sent."""
        self._leads = False
        self._closed = threading.Event()
        self._latest: tuple[Any, float] = (None, 0.0)
        """The Lease's last spec, and the time at which this candidate read it first."""

    @property
    def is_leading(self) -> bool:
        """Whether this process may write now."""
        renewed = self._renewed
        return not self._closed.is_set() and renewed is not None and self._clock() - renewed < self._times.renew

    def start(self) -> None:
        """Start the election on a separate thread."""
        threads.start("leader-election", self._work)

    def release(self) -> None:
        """Stop leading and release the Lease, so that another candidate can lead at once."""
        if not self.is_leading:
            return
        self._closed.set()
        try:
            lease = self._request("GET")
            if _spec(lease).get("holderIdentity") == self.identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                self._request("PUT", lease)
        except ApiError as error:
            log.warning("lease_not_released", error=str(error))

    def _work(self) -> None:
        while not self._closed.is_set():
            self.step()
            self._closed.wait(self._times.retry * (1.0 if self._leads else random.uniform(1.0, 1.2)))

    def step(self) -> None:
        """Try once to take or renew the Lease. Call ``on_started`` or ``on_stopped`` if the leadership changes."""
        request_time = self._clock()
        try:
            is_holder = self._take()
        except ApiError as error:
            log.warning("lease_refused" if error.code else "lease_unreachable", error=str(error))
        else:
            self._renewed = request_time if is_holder else None
        if self.is_leading and not self._leads:
            self._leads = True
            threads.start("leading", self._on_started)
        elif self._leads and not self.is_leading:
            self._leads, self._renewed = False, None
            if not self._closed.is_set():
                log.warning("leadership_lost", identity=self.identity)
                self._on_stopped()

    def _take(self) -> bool:
        """Try to take or renew the Lease. Return whether this candidate holds it now.

        Raises:
            ApiError: the API server returned an error, so the holder is unknown.
        """
        now = microtime()
        try:
            lease = self._request("GET")
        except ApiError as error:
            if error.code != 404:
                raise
            return self._write("POST", self._lease(now))
        spec = _spec(lease)
        holder = spec.get("holderIdentity") or ""
        if spec != self._latest[0]:
            self._latest = spec, self._clock()
        duration = spec.get("leaseDurationSeconds")
        seconds = duration if isinstance(duration, int) and duration > 0 else self._times.lease
        if holder not in ("", self.identity) and self._clock() - self._latest[1] < seconds:
            return False
        changes: Object = {"holderIdentity": self.identity, "leaseDurationSeconds": self._times.lease, "renewTime": now}
        if holder != self.identity:
            transitions = spec.get("leaseTransitions")
            changes |= {"acquireTime": now, "leaseTransitions": (transitions or 0) + 1}
        return self._write("PUT", {**lease, "spec": {**spec, **changes}})

    def _write(self, method: str, lease: Object) -> bool:
        if self._closed.is_set():
            return False
        try:
            self._request(method, lease)
        except ApiError as error:
            if error.code == 409 and not self._leads:
                return False  # another candidate was faster
            raise
        return True

    def _lease(self, now: str) -> Object:
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self._times.lease,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }

    def _request(self, method: str, body: Object | None = None) -> Object:
        path = LEASES.path(self._namespace, "" if method == "POST" else self._name)
        query = None if method == "GET" else {"fieldManager": OPERATOR}
        lease = self._client.request(
            method, path, query=query, body=body, timeout=urllib3.Timeout(total=REQUEST_SECONDS)
        )
        if not isinstance(lease, dict):
            raise ApiError(0, "Unreadable", f"the response to {path} is not a Lease")
        return lease


def microtime() -> str:
    """Return the current time in the format of a Lease."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _spec(lease: Object) -> Object:
    spec = lease.get("spec")
    return spec if isinstance(spec, dict) else {}
