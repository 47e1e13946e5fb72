"""Defaults, prunes and validates custom resources by their structural schema, including CEL rules."""

import re
from functools import lru_cache
from typing import Any

import cel
import jsonschema

from sandbox.errors import Object

PRESERVE = "x-kubernetes-preserve-unknown-fields"


def prepare(value: Any, schema: Object, *, root: bool = True) -> Any:
    """A copy of ``value`` without unknown fields and with defaults. ``value`` itself does not change."""
    if isinstance(value, dict) and (schema.get("properties") or schema.get("additionalProperties") or root):
        properties = schema.get("properties") or {}
        additional = schema.get("additionalProperties")
        prepared = {}
        for name, child in value.items():
            if root and name in ("apiVersion", "kind", "metadata"):
                prepared[name] = child
            elif name in properties:
                if child is None and not properties[name].get("nullable"):
                    continue  # null counts as absent, and gets the default
                prepared[name] = prepare(child, properties[name], root=False)
            elif isinstance(additional, dict):
                prepared[name] = prepare(child, additional, root=False)
            elif additional is True or schema.get(PRESERVE):
                prepared[name] = child
        for name, child in properties.items():
            if name not in prepared and "default" in child:
                prepared[name] = prepare(child["default"], child, root=False)
        return prepared
    if isinstance(value, dict) and schema.get("type") == "object" and not schema.get(PRESERVE):
        return {}
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [prepare(item, schema["items"], root=False) for item in value]
    return value


def unknown_fields(value: Any, schema: Object, path: str = "") -> list[str]:
    """Paths of the fields that pruning would drop."""
    unknown: list[str] = []
    if isinstance(value, dict) and "properties" in schema:
        for name, child in value.items():
            if not path and name in ("apiVersion", "kind", "metadata"):
                continue
            here = f"{path}.{name}".lstrip(".")
            if name in schema["properties"]:
                unknown += unknown_fields(child, schema["properties"][name], here)
            elif not schema.get(PRESERVE) and not schema.get("additionalProperties"):
                unknown.append(here)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for i, item in enumerate(value):
            unknown += unknown_fields(item, schema["items"], f"{path}[{i}]")
    return unknown


def faults(obj: Object, schema: Object) -> list[str]:
    """One sentence for each broken rule. It starts with the field's path."""
    validator = jsonschema.Draft202012Validator(_as_json_schema(schema))
    broken = []
    for error in validator.iter_errors(obj):
        path = _dotted(error.absolute_path)
        if error.validator == "required":
            missing = re.sub(r"^'(.*)' is a required property$", r"\1", error.message)
            broken.append(f"{path + '.' if path else ''}{missing}: Required value")
        elif error.validator == "enum":
            listed = ", ".join(f'"{v}"' for v in error.validator_value)
            broken.append(f'{path}: Unsupported value: "{error.instance}": supported values: {listed}')
        else:
            broken.append(f"{path}: Invalid value: {error.message}")
    return broken or _cel_faults(obj, schema, "", obj)


_EXPECTED = {
    "integer": "expected numeric (int or float)",
    "number": "expected numeric (int or float)",
    "string": "expected string",
    "boolean": "expected boolean",
    "object": "expected map",
    "array": "expected list",
}
_GOT = {str: "string", bool: "boolean", int: "int", float: "float", dict: "map", list: "list"}


def type_faults(obj: Object, schema: Object) -> list[str]:
    """One sentence for each value of the wrong type. Server-side apply checks types first, with these words."""
    return [
        f".{_dotted(error.absolute_path)}: {_EXPECTED[error.validator_value]}, got {_GOT[type(error.instance)]}"
        for error in jsonschema.Draft202012Validator(_as_json_schema(schema)).iter_errors(obj)
        if error.validator == "type" and isinstance(error.validator_value, str) and error.instance is not None
    ]


def _dotted(path: Any) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")


def _cel_faults(value: Any, schema: Object, path: str, root: Any) -> list[str]:
    broken = []
    for rule in schema.get("x-kubernetes-validations") or ():
        if not evaluate(rule["rule"], {"self": value}):
            broken.append(f"{path or '<nil>'}: Invalid value: {rule.get('message') or 'failed rule: ' + rule['rule']}")
    if isinstance(value, dict):
        for name, child in (schema.get("properties") or {}).items():
            if name in value:
                broken += _cel_faults(value[name], child, f"{path}.{name}".lstrip("."), root)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for i, item in enumerate(value):
            broken += _cel_faults(item, schema["items"], f"{path}[{i}]", root)
    return broken


def default_faults(schema: Object, path: str = "spec.validation.openAPIV3Schema") -> list[str]:
    """One sentence for each default that its own schema refuses. Nested defaults are not set for this check."""
    sentences = []
    if "default" in schema:
        try:
            broken = faults(schema["default"], schema)
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            broken = [f": Invalid value: no such key: {str(error).strip(chr(39))}"]
        sentences += [
            f"{path}.default{'' if fault[:1] in ':<' else '.'}{fault.removeprefix('<nil>')}" for fault in broken
        ]
    for name, child in (schema.get("properties") or {}).items():
        sentences += default_faults(child, f"{path}.properties[{name}]")
    return sentences


@lru_cache(maxsize=512)
def _program(expression: str) -> Any:
    return cel.compile(expression)


def evaluate(expression: str, variables: Object) -> bool:
    """Whether a CEL expression is true."""
    return bool(_program(expression).execute(variables))


def _as_json_schema(node: Any) -> Any:
    if isinstance(node, list):
        return [_as_json_schema(n) for n in node]
    if not isinstance(node, dict):
        return node
    if node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    converted = {k: _as_json_schema(v) for k, v in node.items() if k not in ("default", "format", "example")}
    if node.get("nullable") and isinstance(node.get("type"), str):
        converted["type"] = [node["type"], "null"]
    if "properties" in node and "metadata" in node["properties"] and "spec" in node["properties"]:
        converted["properties"] = {**converted["properties"], "metadata": {"type": "object"}}
    return converted
