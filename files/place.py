"""The place of a node in a document, which an edit needs to write another node there."""

from dataclasses import dataclass

from files.pointers import Path


@dataclass(frozen=True)
class Place:
    """The place of a node in its parent."""

    path: Path
    start: int
    """Position at which the node's text begins, with the blanks after a colon."""
    column: int
    """Column of the key or dash before the node."""
    inside_flow: bool
    item: bool = False
    """Whether the node is an item of a list, or the root."""
