"""Constant load on a cluster, to detect lost admissions."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Object
from kube.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS
from tests.harness.space import Space

POD = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "app", "image": "app:1"}]}}


class Load:
    """Creates labelled pods in a loop, and checks that no published CA bundle is ever empty."""

    def __init__(self, space: Space, rate: float = 10.0, each: Callable[[], None] = lambda: None) -> None:
        """``each`` is called after each pod."""
        self._space, self._pause, self._each = space, 1 / rate, each
        self.created, self.errors, self.blank = 0, list[str](), 0
        self._stop = threading.Event()
        watched = (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS)
        self._bundles = [Informer(space.client, resource, self._note) for resource in watched]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _note(self, configuration: Object, deleted: bool) -> None:
        if configuration["metadata"]["name"] == "asya-operator":
            self.blank += any(not hook["clientConfig"].get("caBundle") for hook in configuration["webhooks"])

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            pod = {**POD, "metadata": {"generateName": "load-", "labels": {"asya.io/actor": "a"}}}
            try:
                made = self._space.create_object(pod)
                assert made["spec"]["containers"][0]["name"] == "sidecar"
                self.created += 1
            except ApiError as error:
                self.errors.append(f"{time.time():.2f} {error}")
            self._each()

    @contextmanager
    def running(self, lost: int = 0) -> Iterator["Load"]:
        """Create load while the block runs. Then check that at most ``lost`` errors and no empty bundle occurred."""
        for informer in self._bundles:
            informer.start()
        self._thread.start()
        yield self
        self._stop.set()
        self._thread.join(20)
        for informer in self._bundles:
            informer.stop()
        assert self.errors[lost:] == []
        assert self.blank == 0
        assert self.created > 10
