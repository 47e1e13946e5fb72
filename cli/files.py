"""Objects as text, as kubectl prints them."""

import json
from typing import Any

import yaml

from files.emit import text_scalar

Object = dict[str, Any]


def dump(objects: list[Object], form: str) -> str:
    """``objects`` as ``yaml`` documents or as ``json``: one object, or a List of several, as kubectl prints them."""
    if form == "json":
        whole = objects[0] if len(objects) == 1 else {"apiVersion": "v1", "kind": "List", "items": objects}
        return json.dumps(whole, indent=4, ensure_ascii=False) + "\n"
    return "---\n".join(
        yaml.dump(obj, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True) for obj in objects
    )


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and what is the same in two places twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None if text_scalar(text) == text else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
