"""The lengths of queues over the last ten minutes, with one sample every five seconds. Only in memory."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from kube.objects import Key

SECONDS: Final = 5.0
"""Seconds between two samples."""
SAMPLES: Final = 120
"""The most samples of one queue: ten minutes."""


class History:
    """The last :data:`SAMPLES` lengths of each queue. A sample is None if the length was not known."""

    def __init__(self) -> None:
        self._lengths: dict[Key, deque[int | None]] = {}

    def sample(self, lengths: Mapping[Key, int | None]) -> None:
        """Store a sample. Removes actors that are not in it, and skips actors whose length was never known."""
        for key in [key for key in self._lengths if key not in lengths]:
            del self._lengths[key]
        for key, length in lengths.items():
            if key in self._lengths:
                self._lengths[key].append(length)
            elif length is not None:
                self._lengths[key] = deque([length], maxlen=SAMPLES)

    def of(self, key: Key) -> list[int | None]:
        """The samples of one actor, the latest last."""
        return list(self._lengths.get(key, ()))

    def of_all(self, keys: Iterable[Key]) -> dict[str, list[int | None]]:
        """The samples by ``namespace/name``, for those of ``keys`` that have any."""
        return {"/".join(key): self.of(key) for key in keys if key in self._lengths}
