"""Lists in pages: ``limit`` and ``continue``. All pages show the list as it was at the first request."""

import itertools
import threading
from collections import OrderedDict
from typing import Any

from sandbox.errors import Failure

Object = dict[str, Any]
REMEMBERED = 100
"""Number of lists that are kept for further pages. Older ones answer 410, as after five minutes in Kubernetes."""


class Pages:
    """Keeps lists for requests of further pages. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock, self._numbers = threading.Lock(), itertools.count(1)
        self._lists: OrderedDict[str, tuple[list[Object], str]] = OrderedDict()

    def page(self, items: list[Object], version: str, query: dict[str, str]) -> tuple[list[Object], Object]:
        """The objects of one page of ``items``, and the list's metadata.

        Raises:
            Failure: 410, for a page of a list that is no longer kept.
        """
        limit, (number, _, start) = int(query.get("limit") or 0), query.get("continue", "").partition(":")
        if number:
            with self._lock:
                known = self._lists.get(number)
            if known is None or not start.isdecimal():
                raise Failure(410, "The provided continue parameter is too old to display a consistent list result")
            items, version = known
        begin = int(start or 0)
        end = begin + limit if limit else len(items)
        metadata: Object = {"resourceVersion": version}
        if end < len(items):
            metadata |= {"continue": f"{number or self._remember(items, version)}:{end}"}
        return items[begin:end], metadata

    def _remember(self, items: list[Object], version: str) -> str:
        with self._lock:
            number = str(next(self._numbers))
            self._lists[number] = items, version
            while len(self._lists) > REMEMBERED:
                self._lists.popitem(last=False)
        return number
