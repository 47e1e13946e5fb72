"""Prints objects as YAML or JSON, in kubectl's form."""

import json
from typing import Any

import yaml

from files.emit import text_scalar

Object = dict[str, Any]


def dump(objects: list[Object], form: str) -> str:
    """``objects`` as ``yaml`` documents, or as ``json``: one object alone, several as a List."""
    if form == "json":
        document = objects[0] if len(objects) == 1 else {"apiVersion": "v1", "kind": "List", "items": objects}
        return json.dumps(document, indent=4, ensure_ascii=False) + "\n"
    return "---\n".join(
        yaml.dump(obj, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True) for obj in objects
    )


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and repeats shared values instead of using aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None if text_scalar(text) == text else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
