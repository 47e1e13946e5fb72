"""The keys of the ConfigMaps ``asya-keda`` to which TriggerAuthentications refer, counted by namespace."""

import threading
from collections import Counter, defaultdict

from controller.rules.scalers import referenced_keys
from kube.objects import Key, Object, key_of


class References:
    """An index of the watch cache of TriggerAuthentications. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_authentication: dict[Key, set[str]] = {}
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)

    def observe(self, authentication: Object, deleted: bool) -> None:
        """Count the references of a TriggerAuthentication that changed or was deleted."""
        key = key_of(authentication)
        now = set() if deleted else referenced_keys(authentication)
        with self._lock:
            before = self._by_authentication.pop(key, set())
            if now:
                self._by_authentication[key] = now
            counts = self._counts[key[0]]
            counts.subtract(before - now)
            counts.update(now - before)
            for gone in before - now:
                if not counts[gone]:
                    del counts[gone]
            if not counts:
                del self._counts[key[0]]

    def has(self, namespace: str, key: str) -> bool:
        """Whether a TriggerAuthentication of the namespace refers to this key."""
        with self._lock:
            return key in self._counts.get(namespace, ())
