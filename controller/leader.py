"""Leader election: ``kubernetes.leaderelection`` on a Lease, made safe for a process that writes.

Four things are added to the library's. A request that gets no answer, or none that can be read, counts as a
failed renewal instead of ending the election. :attr:`Election.leading` turns false by the clock alone, before any
other candidate may take over, so that a process that was paused and wakes up writes nothing. A process that
loses the lease, because the API server was away say, stands again instead of ending: were it to be restarted,
it would wait for longer each time. And one that stops gives the lease back, so that its successor need not
wait for it to run out.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import structlog
import urllib3
from kubernetes.client import CoordinationV1Api
from kubernetes.leaderelection.electionconfig import Config
from kubernetes.leaderelection.leaderelection import LeaderElection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from injection.settings import InvalidSetting
from kube.client import LEASES, ApiError, Client
from telemetry import threads

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 4
NO_ANSWER = (urllib3.exceptions.HTTPError, ValueError, TypeError, AttributeError, KeyError)
"""What the official client raises where there is no answer, or one that is cut short or no Lease."""


class InvalidLeaseTimes(InvalidSetting):
    """Times that would let two lead at once, or nobody; the message names them."""


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds."""

    lease: int = 15
    """How long the Lease holds once its holder is silent."""
    renew: int = 10
    """A leader that could not renew it for so long stops."""
    retry: int = 2
    """Between two tries."""

    def __post_init__(self) -> None:
        if not self.retry < self.renew < self.lease:
            raise InvalidLeaseTimes(
                "ASYA_LEASE_RETRY_SECONDS < ASYA_LEASE_RENEW_SECONDS < ASYA_LEASE_SECONDS: required, as a leader that "
                f"cannot renew has to stop before another may lead; found {self.retry}, {self.renew} and {self.lease}"
            )


class _Timed:
    """An API whose every call has a time limit."""

    def __init__(self, api: CoordinationV1Api) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        return partial(getattr(self._api, name), _request_timeout=REQUEST_SECONDS)


class _Lock(LeaseLock):
    """A Lease that knows when it was last renewed, and takes no answer for a no."""

    def __init__(self, client: Client, namespace: str, name: str, identity: str) -> None:
        super().__init__(name, namespace, identity)  # type: ignore[no-untyped-call]
        self.api_instance = cast(Any, _Timed(CoordinationV1Api(client.official)))
        self._client = client
        self.renewed: float | None = None
        self.closed = False

    def get(self, name: str, namespace: str) -> Any:
        try:
            return super().get(name, namespace)  # type: ignore[no-untyped-call]
        except NO_ANSWER as failure:
            self._unreachable(failure)
            return False, _NoAnswer(str(failure))

    def create(self, name: str, namespace: str, election_record: Any) -> bool:
        return self._renewing(partial(super().create, name, namespace, election_record))

    def update(self, name: str, namespace: str, updated_record: Any) -> bool:
        return self._renewing(partial(super().update, name, namespace, updated_record))

    def _renewing(self, write: Callable[[], bool]) -> bool:
        if self.closed:
            return False
        asked = time.monotonic()
        try:
            done = bool(write())
        except NO_ANSWER as failure:
            self._unreachable(failure)
            return False
        if done:
            self.renewed = asked
        else:
            log.warning("lease_refused", identity=self.identity)
        return done

    def _unreachable(self, failure: Exception) -> None:
        log.warning("lease_unreachable", error=repr(failure))
        self._client.forget_connections()


class _NoAnswer:
    body = ""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Election:
    """One candidate. ``on_started`` is called each time that it comes to lead, ``on_stopped`` when it does no longer.

    ``client`` must be one that may write whether this process leads or not.
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
    ) -> None:
        self._times = times or LeaseTimes()
        self._client, self._namespace, self._name, self.identity = client, namespace, name, identity
        self._lock = _Lock(client, namespace, name, identity)
        self._on_started, self._on_stopped = on_started, on_stopped

    @property
    def leading(self) -> bool:
        """Whether this process may write now."""
        renewed = self._lock.renewed
        return not self._lock.closed and renewed is not None and time.monotonic() - renewed < self._times.renew

    def start(self) -> None:
        """Stand for election, on a thread of its own."""
        threads.start("leader-election", self._run)

    def release(self) -> None:
        """Stop leading, and let another candidate lead at once."""
        if not self.leading:
            return
        self._lock.closed = True
        path = LEASES.path(self._namespace, self._name)
        try:
            lease = self._client.request("GET", path)
            if lease["spec"].get("holderIdentity") == self.identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                self._client.request("PUT", path, body=lease)
        except ApiError as error:
            log.warning("lease_not_released", error=str(error))

    def _run(self) -> None:
        while not self._lock.closed:
            config = cast(Any, Config)(
                self._lock,
                self._times.lease,
                self._times.renew,
                self._times.retry,
                self._on_started,
                self._lost,
            )
            cast(Any, LeaderElection)(config).run()

    def _lost(self) -> None:
        self._lock.renewed = None
        if not self._lock.closed:
            log.warning("leadership_lost", identity=self.identity)
            self._on_stopped()
