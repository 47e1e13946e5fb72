"""Edits a document's text, so that it gets a new value and every other byte stays.

The parser reports the positions of edits. In block style an edit adds whole lines, in flow style only the text of the
addition. So its removal restores the earlier bytes. If an edit replaces a text, for example a ``null`` or an alias,
:mod:`files.memory` stores the original text.

If an anchor or a merge key shares a part and one copy must differ, only this copy is un-shared.
"""

from collections.abc import Mapping
from typing import Any

from files.alignment import align
from files.emit import block, flow, scalar
from files.layout import Layout
from files.nodes import Node, is_same
from files.place import Place
from files.pointers import Path, above, pointer
from files.sharing import Sharing

MERGED = "<<"
"""The original text of an entry that came from a merge key, and so had no text of its own."""


class CannotEdit(Exception):
    """The node cannot be edited, so its parent must be replaced as a whole."""


class Editor:
    """Edits one text. With ``undo`` it removes the additions of an earlier edit, so it stores no deleted text."""

    def __init__(
        self,
        text: str,
        root: Node,
        *,
        as_json: bool = False,
        undo: bool = False,
        restore: Mapping[str, str] | None = None,
    ) -> None:
        self._text, self._root, self._json, self._undo = text, root, as_json, undo
        self._layout = Layout(text)
        self._edits: list[tuple[int, int, str]] = []
        self._restore = dict(restore or {})
        self._above = above(self._restore)
        self._written: dict[int, str] = {}
        """By the identity of a replaced node: the anchor of its replacement; empty without an anchor."""
        self.originals: dict[str, str] = {}
        """By JSON pointer: the text that was replaced."""

    def change(self, new: Any) -> str:
        """The text with the value ``new``."""
        place = Place((), self._root.start, 0, inside_flow=False, item=True)
        self._change(self._root, new, place)
        Sharing(self).walk(self._root, new, place)
        return self._apply()

    # -- one node ------------------------------------------------------------------------------------

    def _change(self, node: Node, new: Any, place: Place) -> None:
        if self._restore and self._restore_text(node, place):
            return
        if is_same(node.value, new) and not (self._above and pointer(place.path) in self._above):
            return
        saved = len(self._edits), dict(self.originals), dict(self._written)
        try:
            if node.kind == "map" and (isinstance(new, dict) or (new is None and self._undo)):
                # Additions to an empty map, or below a key without a value, are removed. The remaining text is null.
                self._change_map(node, new or {}, place)
                return
            if node.kind == "list" and isinstance(new, list | tuple):
                self._change_list(node, list(new), place)
                return
        except CannotEdit:
            del self._edits[saved[0] :]
            self.originals, self._written = saved[1], saved[2]
        self.replace(node, new, place)

    def _restores(self, path: Path) -> bool:
        """Whether an original text must be restored at or below ``path``."""
        return bool(self._restore) and (pointer(path) in self._above or pointer(path) in self._restore)

    def _restore_text(self, node: Node, place: Place) -> bool:
        original = self._restore.get(pointer(place.path))
        if original is None or original == MERGED:
            return False
        self._edit(place.start, max(node.end, place.start), original)
        self._written[id(node)] = ""
        return True

    def _restore_bases(self, node: Node, place: Place) -> None:
        """Restore the original texts in the value of a merge key."""
        if not self._restores(place.path) or self._restore_text(node, place):
            return
        for i, item in enumerate(node.items):
            self._restore_bases(item, self.item(node, item, i, place))
        for name, key, child in node.entries:
            self._restore_bases(child, self.child(node, key, child, name, place))

    def replace(self, node: Node, new: Any, place: Place, anchor: str = "") -> None:
        """Write ``new`` in place of ``node``."""
        lead = self._text[place.start : node.start]
        prefix = f"&{anchor or node.anchor} " if anchor or (node.anchor and node.kind == "scalar") else ""
        collection = isinstance(new, dict | list | tuple) and bool(new)
        was_flow = node.flow and node.kind in ("map", "list")
        inline = place.inside_flow or self._json or not collection or was_flow or "#" in lead
        start, end = place.start, max(node.end, place.start)
        if node.is_empty and not inline and not place.item and not prefix:
            # A key without a value: add lines below it, whose removal restores the earlier bytes.
            self._insert_lines(self._layout.line_end(start), self._block(new, place))
        elif inline or prefix:
            if not lead and (node.is_empty or not place.item) and not self._json:
                lead = " " if not place.item else ""
            text = f"{lead}{prefix}{self._inline(new, place)}"
            self._edit(start, end, text)
        else:
            lines = self._block(new, place)
            if place.item:
                column = self._layout.column(node.start)
                lines = block(new, column, self._layout.offset)
                lines[0] = lines[0][column:]
                text = self._layout.newline.join(lines)
            else:
                text = self._layout.newline + self._layout.newline.join(lines)
            self._edit(start, end, text)
        self._written[id(node)] = anchor or (node.anchor if node.kind == "scalar" else "")
        if not (node.is_empty and not inline):
            self.originals[pointer(place.path)] = self._text[start:end]

    def _block(self, new: Any, place: Place) -> list[str]:
        inner = 2 if isinstance(new, dict) else self._layout.offset
        return block(new, place.column + inner, self._layout.offset)

    def _inline(self, new: Any, place: Place) -> str:
        if self._json:
            return self._pretty(new, place.column)
        return flow(new)

    def _pretty(self, new: Any, column: int) -> str:
        """JSON in the style of the text: on several lines, or on one."""
        if self._layout.break_at not in self._text.strip():
            tight = '": ' not in self._text
            return flow(new, as_json=True, separators=(",", ":") if tight else (", ", ": "))
        unit = self._unit()
        if isinstance(new, dict | list | tuple) and new:
            brackets = "{}" if isinstance(new, dict) else "[]"
            pairs = new.items() if isinstance(new, dict) else ((None, v) for v in new)
            pad = self._layout.newline + " " * (column + unit)
            parts = [
                ("" if k is None else f"{scalar(k, as_json=True)}: ") + self._pretty(v, column + unit) for k, v in pairs
            ]
            end = self._layout.newline + " " * column
            return f"{brackets[0]}{pad}{f',{pad}'.join(parts)}{end}{brackets[1]}"
        return flow(new, as_json=True)

    def _unit(self) -> int:
        """The indentation of the text's JSON, in columns."""
        entries = self._root.entries
        if entries and self._layout.leads_line(entries[0][1].start):
            return max(1, self._layout.column(entries[0][1].start))
        return 2

    # -- maps ----------------------------------------------------------------------------------------

    def _change_map(self, node: Node, new: dict[str, Any], place: Place) -> None:
        old, explicit = node.value, {name for name, _, _ in node.entries if name is not None}
        removed = {name for name in old if name not in new and not self._restores((*place.path, name))}
        unmerged = {
            name for name in explicit if self._restore.get(pointer((*place.path, name))) == MERGED and name in new
        }
        if (removed and not self._undo) or removed & node.merged:
            raise CannotEdit
        if not node.flow and node.entries and len(removed) == len(node.entries) and not self._leads(node):
            raise CannotEdit
        for name, key, child in node.entries:
            if name in removed or name in unmerged:
                continue
            below = self.child(node, key, child, name, place)
            if name is None:
                self._restore_bases(child, below)
                continue
            if is_same(old[name], new.get(name)) and not self._restores(below.path):
                continue
            if name in node.merged or self._layout.colon(key) is None:
                raise CannotEdit
            self._change(child, new.get(name), below)
        self._delete_entries(node, removed | unmerged)
        added = {}
        for name, value in new.items():
            if name not in explicit and not (name in old and is_same(old[name], value)):
                added[name] = value
                if name in old:
                    self.originals[pointer((*place.path, name))] = MERGED
        if added:
            self._add_entries(node, added, len(removed) == len(node.entries))

    def _leads(self, node: Node) -> bool:
        return self._layout.leads_line(self._layout.entry_start(node.entries[0][1]))

    def child(self, node: Node, key: Node, child: Node, name: str | None, place: Place) -> Place:
        """The place of a map's value."""
        start = self._layout.colon(key)
        column = self._layout.column(self._layout.entry_start(key)) if not node.flow else place.column
        if self._json:
            column = place.column + self._unit()
        return Place(
            (*place.path, MERGED if name is None else name),
            child.start if start is None else start,
            column,
            inside_flow=node.flow,
        )

    def _add_entries(self, node: Node, added: dict[str, Any], alone: bool) -> None:
        if not node.flow:
            column = self._layout.column(self._layout.entry_start(node.entries[0][1]))
            self._insert_lines(self._layout.line_end(node.end), block(added, column, self._layout.offset))
            return
        opening = self._layout.content(node)
        if self._text[opening : opening + 1] != "{":
            raise CannotEdit  # [a: b] has no braces to add to
        column = self._flow_column(node.entries[0][1] if node.entries else None, opening)
        tight = self._json and '": ' not in self._text
        colon = ":" if tight else ": "
        texts = [
            f"{scalar(k, as_json=self._json)}{colon}{self._pretty(v, column) if self._json else flow(v)}"
            for k, v in added.items()
        ]
        starts = [self._layout.entry_start(key) for _, key, _ in node.entries]
        ends = [max(key.end, child.end, self._layout.colon(key) or 0) for _, key, child in node.entries]
        self._insert_flow(opening, [] if alone else list(zip(starts, ends, strict=True)), len(starts), texts)

    def _delete_entries(self, node: Node, names: set[str]) -> None:
        if not names:
            return
        chosen = [i for i, (name, _, _) in enumerate(node.entries) if name in names]
        starts = [self._layout.entry_start(key) for _, key, _ in node.entries]
        ends = [max(key.end, child.end, self._layout.colon(key) or 0) for _, key, child in node.entries]
        self._delete(node, starts, ends, chosen)

    # -- lists ---------------------------------------------------------------------------------------

    def _change_list(self, node: Node, new: list[Any], place: Place) -> None:
        old = node.value
        pairs, added, removed = align(old, new)
        if removed and not self._undo:
            raise CannotEdit
        dashes = [] if node.flow else self._layout.dashes(node)
        if not node.flow and len(removed) == len(old) and not self._layout.leads_line(dashes[0]):
            raise CannotEdit
        for i, j in pairs:
            item = node.items[i]
            self._change(item, new[j], self.item(node, item, j if self._undo else i, place))
        if removed:
            self._delete(node, dashes or [item.start for item in node.items], [i.end for i in node.items], removed)
        for before, values in added.items():
            self._add_items(node, before, values, place, dashes, alone=len(removed) == len(old))

    def item(self, node: Node, item: Node, index: int, place: Place) -> Place:
        """The place of a list's item."""
        if self._json:
            column = place.column + self._unit()
        else:
            column = place.column if node.flow else self._layout.column(item.start) - 2
        return Place((*place.path, index), item.start, column, inside_flow=node.flow, item=True)

    def _add_items(
        self, node: Node, before: int, values: list[Any], place: Place, dashes: list[int], *, alone: bool
    ) -> None:
        if node.flow:
            opening = self._layout.content(node)
            column = self._flow_column(node.items[0] if node.items else None, opening)
            texts = [self._pretty(v, column) if self._json else flow(v) for v in values]
            spans = [] if alone else [(item.start, item.end) for item in node.items]
            self._insert_flow(opening, spans, before, texts)
            return
        column = self._layout.column(dashes[0])
        lines = block(values, column, self._layout.offset)
        if before == len(node.items):
            self._insert_lines(self._layout.line_end(node.end), lines)
        elif not self._layout.leads_line(dashes[before]):
            lead = self._layout.newline + " " * column
            self._edit(dashes[before], dashes[before], self._layout.newline.join(lines)[column:] + lead)
        elif before == 0:
            # Above a comment that belongs to the first item.
            self._insert_lines(self._above_first(node, place, dashes[0]), lines)
        else:
            self._insert_lines(self._layout.line_end(node.items[before - 1].end), lines)

    def _above_first(self, node: Node, place: Place, dash: int) -> int:
        if place.item:
            return self._layout.line_start(dash)
        properties = self._text[node.start : dash].rstrip()
        last = node.start + len(properties.split("#")[0].rstrip()) if node.start < dash else place.start
        return min(self._layout.line_end(last), self._layout.line_start(dash))

    # -- text ----------------------------------------------------------------------------------------

    def _flow_column(self, first: Node | None, opening: int) -> int:
        if first is not None and self._layout.leads_line(first.start):
            return self._layout.column(first.start)
        start = self._layout.line_start(opening)
        return len(self._text[start:]) - len(self._text[start:].lstrip(" "))

    def _insert_flow(self, opening: int, spans: list[tuple[int, int]], before: int, texts: list[str]) -> None:
        """Insert ``texts`` in a flow collection before its element number ``before``."""
        if not spans:
            self._edit(opening + 1, opening + 1, self._separator(None).join(texts))
            return
        separator = self._separator(spans[0][0])
        if before < len(spans):
            start = spans[before][0]
            self._edit(start, start, "".join(text + separator for text in texts))
        else:
            end = spans[-1][1]
            self._edit(end, end, "".join(separator + text for text in texts))

    def _separator(self, first: int | None) -> str:
        if first is not None and self._layout.leads_line(first):
            start = self._layout.line_start(first)
            return "," + self._layout.newline + self._text[start:first]
        return "," if self._json and '": ' not in self._text else ", "

    def _insert_lines(self, position: int, lines: list[str]) -> None:
        self._edit(position, position, "".join(line + self._layout.newline for line in lines))

    def _delete(self, node: Node, starts: list[int], ends: list[int], chosen: list[int]) -> None:
        """Delete elements of a collection, in runs."""
        runs: list[list[int]] = []
        for i in chosen:
            if runs and runs[-1][-1] == i - 1:
                runs[-1].append(i)
            else:
                runs.append([i])
        for run in runs:
            first, last = run[0], run[-1]
            if node.flow:
                if last + 1 < len(starts):
                    region = (starts[first], starts[last + 1]) if first == 0 else (ends[first - 1], ends[last])
                else:
                    region = (starts[first], ends[last]) if first == 0 else (ends[first - 1], ends[last])
                self._edit(*region, "")
            elif self._layout.leads_line(starts[first]):
                for i in run:
                    self._edit(self._layout.line_start(starts[i]), self._layout.line_end(ends[i]), "")
            elif last + 1 < len(starts):
                self._edit(starts[first], starts[last + 1], "")
            else:
                raise CannotEdit

    def _edit(self, start: int, end: int, text: str) -> None:
        self._edits.append((start, end, text))

    def _apply(self) -> str:
        text, newline = self._text, self._layout.newline
        parts, position = [], 0
        ends_open = not text.endswith(self._layout.break_at)
        for start, end, replacement in sorted(self._edits, key=lambda edit: (edit[0], edit[1])):
            if start < position:
                raise CannotEdit
            if ends_open and start == len(text) and replacement.endswith(newline):
                replacement = newline + replacement[: -len(newline)]
            parts += [text[position:start], replacement]
            position = end
        edited = "".join([*parts, text[position:]])
        if ends_open and position == len(text) and self._edits and edited.endswith(newline):
            # The last line had no newline and was deleted. So the line before it must not end with a newline.
            edited = edited[: -len(newline)]
        return edited
