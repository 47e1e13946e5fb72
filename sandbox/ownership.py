"""Server-side apply: the owners of fields, and the changes by an apply.

Follows https://kubernetes.io/docs/reference/using-api/server-side-apply/ and the visible behaviour of
sigs.k8s.io/structured-merge-diff. Fields that admission sets have no owner.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from sandbox.errors import Failure
from sandbox.structure import Object, Path, Shape, key_of

_ITEM = object()
"""The value of a path that denotes an element of a list itself."""
_UNOWNED = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "managedFields",
        "selfLink",
    }
)

Flat = dict[Path, Any]


def flatten(obj: Object, shape: Shape) -> Flat:
    """Every path of ``obj`` that can be owned, with its value. An atomic value is one path."""
    out: Flat = {}
    for name, value in obj.items():
        if name in ("apiVersion", "kind"):
            continue
        if name == "metadata":
            value = {k: v for k, v in value.items() if k not in _UNOWNED}
            if not value:
                continue
        _flatten(value, shape.child(name), (f"f:{name}",), out)
    return out


def _flatten(value: Any, shape: Shape, path: Path, out: Flat) -> None:
    if isinstance(value, dict) and value and not shape.is_atomic:
        for name, child in value.items():
            _flatten(child, shape.child(name), (*path, f"f:{name}"), out)
        return
    if isinstance(value, list) and value:
        keys = shape.list_keys(value)
        if keys is not None:
            for item in value:
                child_path = (*path, _element(item, keys))
                out[child_path] = _ITEM
                if isinstance(item, dict):
                    for name, child in item.items():
                        _flatten(child, shape.item().child(name), (*child_path, f"f:{name}"), out)
            return
    out[path] = value


def _element(item: Any, keys: tuple[str, ...]) -> str:
    if not keys or not isinstance(item, dict):
        return "v:" + orjson.dumps(item).decode()
    named = dict(zip(keys, key_of(item, keys), strict=True))
    return "k:" + orjson.dumps(named, option=orjson.OPT_SORT_KEYS).decode()


def merge(live: Any, config: Any, shape: Shape) -> Any:
    """``live`` after ``config`` is applied to it."""
    if isinstance(live, dict) and isinstance(config, dict) and not shape.is_atomic:
        merged = dict(live)
        for name, value in config.items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = merge(live[name], value, shape.child(name)) if name in live else value
        return merged
    if isinstance(live, list) and isinstance(config, list):
        keys = shape.list_keys(live or config)
        if keys is not None:
            applied = {key_of(i, keys): i for i in config}
            merged_list = [
                merge(i, applied.pop(key_of(i, keys)), shape.item()) if key_of(i, keys) in applied else i for i in live
            ]
            return merged_list + list(applied.values())
    return config


def remove(obj: Any, paths: set[Path], shape: Shape, path: Path = ()) -> Any:
    """``obj`` without ``paths``. A map that becomes empty is removed too."""
    if isinstance(obj, dict) and not (shape.is_atomic and path):
        remaining = {}
        for name, value in obj.items():
            child_path = (*path, f"f:{name}")
            if child_path in paths:
                continue
            kept = remove(value, paths, shape.child(name), child_path)
            if kept in ({}, []) and value not in ({}, []):
                continue
            remaining[name] = kept
        return remaining
    if isinstance(obj, list):
        keys = shape.list_keys(obj)
        if keys is not None:
            return [
                remove(item, paths, shape.item(), (*path, _element(item, keys)))
                for item in obj
                if (*path, _element(item, keys)) not in paths
            ]
    return obj


def apply(
    live: Object | None, config: Object, manager: str, *, force: bool, shape: Shape, subresource: str = ""
) -> Object:
    """The object after ``manager`` has applied ``config`` to ``live``.

    Raises:
        Failure: 409, if another manager owns one of the fields and ``force`` is not set.
    """
    config = {**config, "metadata": {k: v for k, v in config["metadata"].items() if k != "managedFields"}}
    owned = flatten(config, shape)
    if live is None:
        return _with_managers(config, [_entry(manager, "Apply", set(owned), config, subresource)])
    entries = managers(live)
    live_flat = flatten(live, shape)
    own_entry = next((e for e in entries if _is_entry_of(e, manager, "Apply", subresource)), None)
    before: set[Path] = own_entry["paths"] if own_entry else set()
    others = [e for e in entries if e is not own_entry]
    conflicts: dict[str, list[str]] = {}
    for entry in others:
        taken = {p for p in entry["paths"] & owned.keys() if owned[p] is not _ITEM and live_flat.get(p) != owned[p]}
        if taken and not force:
            conflicts[entry["manager"]] = sorted(".".join(e[2:] for e in p) for p in taken)
        entry["paths"] -= taken
    if conflicts:
        listed = "; ".join(f'conflict with "{m}": .{", .".join(p)}' for m, p in conflicts.items())
        raise Failure(409, f"Apply failed with {len(conflicts)} conflicts: {listed}")
    held: set[Path] = set(owned).union(*(e["paths"] for e in others)) if others else set(owned)
    removed = {p for p in before - held if not any(o[: len(p)] == p for o in held)}
    applied = merge(remove(live, removed, shape), config, shape)
    applied["metadata"] = {
        **applied["metadata"],
        **{k: live["metadata"][k] for k in _UNOWNED if k in live["metadata"]},
    }
    entry = _entry(manager, "Apply", set(owned), config, subresource)
    return _with_managers(applied, [*others, entry], live)


def update(old: Object | None, new: Object, manager: str, shape: Shape, subresource: str = "") -> Object:
    """``new`` with updated managedFields, after ``manager`` replaced ``old`` by it."""
    flat = flatten(new, shape)
    if old is None:
        return _with_managers(new, [_entry(manager, "Update", set(flat), new, subresource)])
    old_flat = flatten(old, shape)
    changed = {p for p, v in flat.items() if p not in old_flat or (v is not _ITEM and old_flat[p] != v)}
    removed = old_flat.keys() - flat.keys()
    entries = managers(old)
    for entry in entries:
        if not _is_entry_of(entry, manager, "Update", subresource):
            entry["paths"] -= changed
        entry["paths"] -= removed
    if changed:
        own_entry = next((e for e in entries if _is_entry_of(e, manager, "Update", subresource)), None)
        if own_entry:
            own_entry["paths"] |= changed
        else:
            entries.append(_entry(manager, "Update", changed, new, subresource))
    return _with_managers(new, entries, old)


def managers(obj: Object) -> list[Any]:
    """The entries of ``metadata.managedFields``, with their fields as sets of paths."""
    return [
        {**entry, "paths": set(_paths(entry.get("fieldsV1") or {}))}
        for entry in obj["metadata"].get("managedFields") or ()
    ]


def _is_entry_of(entry: Mapping[str, Any], manager: str, operation: str, subresource: str) -> bool:
    return (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
        manager,
        operation,
        subresource,
    )


def _entry(manager: str, operation: str, paths: set[Path], obj: Object, subresource: str) -> Object:
    entry = {
        "manager": manager,
        "operation": operation,
        "apiVersion": obj["apiVersion"],
        "fieldsType": "FieldsV1",
        "paths": paths,
    }
    return entry | ({"subresource": subresource} if subresource else {})


def _with_managers(obj: Object, entries: list[Any], old: Object | None = None) -> Object:
    known = {
        (e["manager"], e["operation"], e.get("subresource", "")): e
        for e in ((old or {}).get("metadata") or {}).get("managedFields") or ()
    }
    written = []
    for entry in entries:
        if not entry["paths"]:
            continue
        fields = _tree(entry["paths"])
        before = known.get((entry["manager"], entry["operation"], entry.get("subresource", "")))
        same = before is not None and before.get("fieldsV1") == fields
        time = before["time"] if same and before else datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        written.append({k: v for k, v in entry.items() if k != "paths"} | {"fieldsV1": fields, "time": time})
    return {**obj, "metadata": {**obj["metadata"], "managedFields": written}}


def _tree(paths: set[Path]) -> Object:
    root: Object = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        if path[-1][:2] == "k:":
            node["."] = {}
    return root


def _paths(tree: Object, path: Path = ()) -> list[Path]:
    paths: list[Path] = []
    for element, child in tree.items():
        if element == ".":
            paths.append(path)
        elif child:
            paths += _paths(child, (*path, element))
        else:
            paths.append((*path, element))
    return paths
