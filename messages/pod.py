"""Runs a request in a short-lived pod in the actor's namespace.

The session creates the pod, reads its log to the end, and deletes it in any case.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import urllib3

from kube import resources
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import Resource
from messages.broker import BrokerError
from messages.controls import MANAGER
from messages.interrupts import held_back
from messages.job import CONTAINER, LABEL, encoded, job, secrets
from messages.requests import Request
from messages.rights import explained
from messages.sealed import Sealer, new_key
from messages.service import END
from messages.target import Target

Event = dict[str, Any]
Note = Callable[[str], None]

START_SECONDS = 180.0
"""How long the pod may take to start."""
POLL_SECONDS = 0.25
EVENTS_SECONDS = 3.0
"""After this time Events are read, to learn why the pod does not exist or does not start."""
SILENCE = urllib3.Timeout(connect=5.0, read=45.0)
"""The pod prints a line at least every ten seconds."""
ALTERNATIVE = "or reach the broker from here with --local"
REOPENED = 10
"""How often a log that breaks off is opened again."""
BROKEN = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)


class SessionError(Exception):
    """The session failed before it reached the broker. The message says why and what to do."""


class PodSession:
    """Runs requests about one actor, each in a pod of its own."""

    def __init__(self, client: Client, target: Target, image: str = "", note: Note = lambda text: None) -> None:
        """Prepare a session. It creates nothing yet.

        Args:
            client: with the caller's rights.
            target: the actor.
            image: the operator's image; empty: the one in its Deployment.
            note: called with a text for the user while the session waits.

        Raises:
            SessionError: if the image is not known.
        """
        self._client, self._target, self._note = client, target, note
        self._present: set[str] = set()
        """Names of Jobs that are created and not deleted yet."""
        self._is_abandoned = False
        self._image = image or target.image
        if not self._image:
            raise SessionError(
                "the operator's image is not known: you may not read the Deployment asya-operator in its namespace, or "
                "it does not exist. Name the image with --image, or reach the broker from here with --local"
            )

    def run(self, request: Request) -> Iterator[Event]:
        """The events of ``request``. The pod is deleted after the last one, or when the caller closes the iterator.

        Raises:
            SessionError: if the pod cannot be created or does not run.
            BrokerError: if the broker cannot be reached, or refuses.
        """
        name, namespace = f"asya-messages-{uuid4().hex[:10]}", self._target.namespace
        key = new_key()
        parts = encoded(request, key)
        self._present.add(name)
        try:
            created = self._create(resources.JOBS, job(self._target, name, self._image, request, len(parts)))
            for secret in secrets(name, namespace, created["metadata"]["uid"], parts):
                self._create(resources.SECRETS, secret)
            yield from self._events(name, Sealer(key))
        finally:
            try:
                self._delete(name)
            except BaseException:
                self._delete(name)  # a signal arrived just before held_back() blocked signals
                raise

    def abandon(self) -> None:
        """Delete the pods and make :meth:`run` end. Called from another thread when the program ends."""
        self._is_abandoned = True
        for name in list(self._present):
            self._delete(name)

    def _create(self, resource: Resource, obj: Object) -> Object:
        try:
            path = resource.path(self._target.namespace)
            created: Object = self._client.request("POST", path, query={"fieldManager": MANAGER}, body=obj)
        except ApiError as error:
            raise SessionError(explained(error, ALTERNATIVE)) from None
        if self._is_abandoned:
            raise SessionError("the program ends")
        return created

    def _delete(self, name: str) -> None:
        try:
            with held_back():
                self._client.delete(resources.JOBS, self._target.namespace, name)
                self._present.discard(name)
        except ApiError as error:
            where = f"--namespace {self._target.namespace}"
            self._note(
                f"the Job {name} could not be deleted, and Kubernetes deletes it after its end: {error.message} "
                f"(kubectl {where} get job)"
            )

    # -- its output ------------------------------------------------------------------------------

    def _events(self, name: str, sealer: Sealer) -> Iterator[Event]:
        pod = self._started(name)
        lines_read = 0
        other_lines: list[str] = []
        for _ in range(REOPENED):
            for number, line in enumerate(self._lines(pod), 1):
                if number <= lines_read:
                    continue
                lines_read = number
                event = sealer.open(line)
                if event is None:
                    other_lines = [*other_lines[-9:], line]
                elif event == END:
                    return
                elif event["kind"] == "error":
                    raise BrokerError(event["problem"], event["message"])
                elif event["kind"] != "beat":
                    yield event
            state = self._state(name)
            if state is None or "terminated" in state:
                break
        raise SessionError(self._why_ended(name, other_lines))

    def _lines(self, pod: str) -> Iterator[str]:
        """The lines of the pod's log as they arrive; ends when the log ends or breaks off."""
        path = resources.PODS.path(self._target.namespace, pod, "log")
        query = {"container": CONTAINER, "follow": "true"}
        try:
            response = self._client.request("GET", path, query=query, stream=True, timeout=SILENCE)
        except ApiError as error:
            raise SessionError(explained(error, ALTERNATIVE)) from None
        try:
            for line in response:
                yield line.decode(errors="replace").rstrip("\n")
        except urllib3.exceptions.HTTPError:
            return  # the caller opens the log again
        finally:
            response.close()

    # -- its start -------------------------------------------------------------------------------

    def _started(self, name: str) -> str:
        """The name of the pod, once its container runs or has ended."""
        start = time.monotonic()
        is_noted = False
        while True:
            pod = self._pod(name)
            state = _container_state(pod)
            if self._is_abandoned:
                raise SessionError("the program ends")
            if pod is not None and ("running" in state or "terminated" in state):
                return str(pod["metadata"]["name"])
            waiting = state.get("waiting") or {}
            if waiting.get("reason") in BROKEN:
                raise SessionError(f"the pod does not start: {waiting['reason']}: {waiting.get('message', '')}")
            elapsed = time.monotonic() - start
            if elapsed > 1 and not is_noted:
                is_noted = True
                self._note(f"waiting for a pod of {self._image}")
            if elapsed > EVENTS_SECONDS:
                self._check_start(name, pod, elapsed)
            time.sleep(POLL_SECONDS if elapsed < EVENTS_SECONDS else 4 * POLL_SECONDS)

    def _check_start(self, name: str, pod: Object | None, elapsed: float) -> None:
        """Stop the wait if the pod cannot start.

        Raises:
            SessionError: if the pod cannot be created, or did not start within START_SECONDS.
        """
        about = str(pod["metadata"]["name"]) if pod is not None else name
        warning = self._warning(about)
        if pod is None and warning:
            raise SessionError(f"the pod cannot be created: {warning}")
        if elapsed > START_SECONDS:
            conditions = ((pod or {}).get("status") or {}).get("conditions") or ()
            unscheduled = next((c.get("message") for c in conditions if c.get("reason") == "Unschedulable"), "")
            reason = warning or unscheduled or "no Event says why; check that the cluster's nodes work"
            raise SessionError(f"the pod did not start within {START_SECONDS:.0f} s: {reason}")

    def _warning(self, about: str) -> str:
        try:
            events = self._client.list(
                resources.EVENTS, self._target.namespace, fieldSelector=f"involvedObject.name={about},type=Warning"
            )
        except ApiError:
            return ""
        return str(events[-1].get("message", "")) if events else ""

    def _pod(self, name: str) -> Object | None:
        try:
            pods = self._client.list(resources.PODS, self._target.namespace, labelSelector=f"{LABEL}={name}")
        except ApiError as error:
            raise SessionError(explained(error, ALTERNATIVE)) from None
        return pods[0] if pods else None

    def _state(self, name: str) -> Object | None:
        pod = self._pod(name)
        return None if pod is None else _container_state(pod)

    def _why_ended(self, name: str, output: list[str]) -> str:
        """The message for a pod that ended before its last event; ``output`` are its last lines without events."""
        ended = (self._state(name) or {}).get("terminated") or {}
        text = " ".join(output)[-500:]
        if ended.get("exitCode") == 2:
            return (
                f"the image {self._image} is older than this plugin; name a newer one with --image. Its output: {text}"
            )
        reason = f"{ended.get('reason', 'unknown')} (exit code {ended.get('exitCode')})" if ended else "it was deleted"
        return f"the pod ended before it finished: {reason}. Its output: {text or 'none'}"


def _container_state(pod: Object | None) -> Object:
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or ()
    return next((s.get("state") or {} for s in statuses if s.get("name") == CONTAINER), {})
