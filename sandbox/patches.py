"""The patches that clients send: JSON patch, merge patch and strategic merge patch."""

from typing import Any

import jsonpatch
import jsonpointer

from sandbox.errors import Failure
from sandbox.structure import Object, Shape, key_of


def json_patch(obj: Object, operations: list[Object]) -> Object:
    """Apply a JSON patch (RFC 6902).

    Raises:
        Failure: 422, if it does not apply.
    """
    try:
        patched: Object = jsonpatch.apply_patch(obj, operations)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise Failure(422, f"the patch cannot be applied: {error}") from None
    return patched


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    patched = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            patched.pop(name, None)
        else:
            patched[name] = merge_patch(patched.get(name), value)
    return patched


def strategic_merge_patch(target: Any, patch: Any, shape: Shape) -> Any:
    """Apply a strategic merge patch. Lists with keys are merged by key; ``$patch`` and similar fields control it."""
    if isinstance(patch, dict):
        if patch.get("$patch") == "replace":
            return {k: v for k, v in patch.items() if k != "$patch"}
        patched = dict(target) if isinstance(target, dict) else {}
        retained = patch.get("$retainKeys")
        if retained is not None:
            patched = {k: v for k, v in patched.items() if k in retained}
        for name, value in patch.items():
            if name.startswith("$deleteFromPrimitiveList/"):
                field = name.partition("/")[2]
                patched[field] = [i for i in patched.get(field) or () if i not in value]
            elif name.startswith("$"):
                continue
            elif value is None:
                patched.pop(name, None)
            else:
                patched[name] = strategic_merge_patch(patched.get(name), value, shape.child(name))
        return patched
    if isinstance(patch, list) and isinstance(target, list):
        keys = shape.list_keys(patch)
        if keys:
            return _merge_list(target, patch, keys, shape)
        if keys == ():
            return target + [i for i in patch if i not in target]
    return [i for i in patch if not (isinstance(i, dict) and "$patch" in i)] if isinstance(patch, list) else patch


def _merge_list(target: list[Any], patch: list[Any], keys: tuple[str, ...], shape: Shape) -> list[Any]:
    if any(isinstance(i, dict) and i.get("$patch") == "replace" for i in patch):
        return [i for i in patch if "$patch" not in i]
    merge_keys = keys[:1]  # a strategic merge patch uses one key for each list
    merged = list(target)
    for item in patch:
        at = next((n for n, t in enumerate(merged) if key_of(t, merge_keys) == key_of(item, merge_keys)), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del merged[at]
        elif at is None:
            merged.append(item)
        else:
            merged[at] = strategic_merge_patch(merged[at], item, shape.item())
    return merged
