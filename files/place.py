"""Where a node hangs in a document."""

from dataclasses import dataclass

from files.pointers import Path


@dataclass(frozen=True)
class Place:
    """How a node hangs in the one above it."""

    path: Path
    start: int
    """Where its text begins, the blanks behind a colon included."""
    column: int
    """Of the key or dash that it hangs on."""
    inside_flow: bool
    item: bool = False
    """Whether it is a list's item, or the root."""
