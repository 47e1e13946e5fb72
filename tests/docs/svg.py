"""A small writer of SVG: boxes, arrows and text. The same drawing always gives the same bytes."""

from collections.abc import Sequence
from html import escape

Point = tuple[int, int]

STYLE = """
text { font: 13px Helvetica, Arial, sans-serif; fill: #1d2733 }
.title { font-weight: bold; font-size: 14px }
.note { font-size: 12px; fill: #44515e }
.box { stroke-width: 1.5; rx: 6px }
.ours { fill: #e2edfb; stroke: #2f6fbf }
.yours { fill: #e6f4e4; stroke: #3d8b40 }
.others { fill: #f1f2f4; stroke: #8a94a0 }
.frame { fill: #ffffff; stroke: #8a94a0; stroke-dasharray: 5 4 }
.line { fill: none; stroke: #44515e; stroke-width: 1.5 }
.back { stroke-dasharray: 5 4 }
"""
TITLE_LINE, NOTE_LINE = 20, 16
"""Distance between the lines of text in a box."""
PADDING = 12


class Drawing:
    """One picture. Later calls draw on top of earlier ones."""

    def __init__(self, width: int, height: int, description: str) -> None:
        self._size, self._description = (width, height), description
        self._parts: list[str] = []

    def box(self, at: Point, size: Point, title: str, *notes: str, kind: str = "ours") -> None:
        """Draw a box with a title and lines of text. ``kind`` is a class of ``STYLE``."""
        (x, y), (width, height) = at, size
        self._parts.append(f'<rect class="box {kind}" x="{x}" y="{y}" width="{width}" height="{height}"/>')
        self.text((x + PADDING, y + PADDING + 9), title, kind="title")
        for n, note in enumerate(notes):
            self.text((x + PADDING, y + PADDING + 9 + TITLE_LINE + n * NOTE_LINE), note)

    def text(self, at: Point, text: str, kind: str = "note", anchor: str = "start") -> None:
        """Draw a line of text. ``anchor`` says which end of it is at ``at``: start, middle or end."""
        x, y = at
        self._parts.append(f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>')

    def arrow(self, *points: Point, both: bool = False, back: bool = False) -> None:
        """Draw a line through ``points`` with a head at its end, or at both ends. A dashed line goes back."""
        path = " ".join(f"{x},{y}" for x, y in points)
        start = ' marker-start="url(#head)"' if both else ""
        dashed = " back" if back else ""
        self._parts.append(f'<polyline class="line{dashed}" points="{path}"{start} marker-end="url(#head)"/>')

    def line(self, *points: Point) -> None:
        """Draw a dashed line without a head."""
        path = " ".join(f"{x},{y}" for x, y in points)
        self._parts.append(f'<polyline class="line back" points="{path}"/>')

    def svg(self) -> str:
        """The picture as SVG text. Its background is white, so that it is readable on a dark page too."""
        width, height = self._size
        head = (
            '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            'orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" fill="#44515e"/></marker>'
        )
        lines: Sequence[str] = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="{escape(self._description)}">',
            f"<title>{escape(self._description)}</title>",
            f"<style>{STYLE}</style>",
            f"<defs>{head}</defs>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
            *self._parts,
            "</svg>",
        )
        return "\n".join(lines) + "\n"
