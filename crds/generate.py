"""``make generate``: writes every file that is generated from the models or from the chart's values.

It writes the CRD manifest, the reference in the manual, and the chart's defaults, table and webhook configurations.
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

from crds.manifest import MANIFEST, manifest, rendered

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
CHART = ROOT / "charts" / "asya-operator"
CHART_CRD = CHART / "files" / "asyncactors.yaml"
WEBHOOKS = ROOT / "webhook" / "configurations.yaml"
CHART_WEBHOOKS = CHART / "files" / "webhooks.yaml"
CHART_DEFAULTS = CHART / "files" / "defaults.yaml"
BEGIN, END = "<!-- generated -->", "<!-- end of generated -->"


def rows(schema: dict[str, Any], path: str = "") -> list[str]:
    """Return one Markdown table row for each field below ``schema``, parents before children."""
    table_rows = []
    for name, child in schema.get("properties", {}).items():
        here = f"{path}{name}"
        if name in ("limits", "requests", "metadata", "spec") and path:
            continue
        if "enum" in child:
            kind = " \\| ".join(f"`{value}`" for value in child["enum"])
        else:
            kind = child["type"]
        default = child.get("default")
        shown = (
            ""
            if default is None or default == {}
            else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        )
        if name in schema.get("required", ()):
            shown = "required"
        table_rows.append(f"| `{here}` | {kind} | {shown} | {child.get('description', '')} |")
        table_rows += rows(child, here + ".")
        for part, mark in (("items", "[]"), ("additionalProperties", ".<name>")):
            if (child.get(part) or {}).get("description"):
                table_rows += rows(child[part], f"{here}{mark}.")
    return table_rows


def reference() -> str:
    """Return the reference table of the manual."""
    spec = manifest()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return "\n".join(["| field of `spec` | type | default | meaning |", "|---|---|---|---|", *rows(spec)])


def with_generated(page: str, generated: str) -> str:
    """Return ``page`` with the text between its two markers replaced by ``generated``."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{generated}\n{END}{after}"


def values(text: str) -> str:
    """Return a table of a chart's values: one row for each key, with the comment above the key."""
    table = ["| value | default | meaning |", "|---|---|---|"]
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("#"):
            comment.append(bare.lstrip("# "))
            continue
        indent = len(line) - len(line.lstrip())
        name, colon, default = bare.partition(":")
        if not colon or bare.startswith("-"):
            comment = []
            continue
        path = [p for p in path if p[0] < indent]
        here = ".".join([*(n for _, n in path), name])
        if default.strip():
            table.append(f"| `{here}` | `{default.strip()}` | {' '.join(comment)} |")
        elif comment:
            table.append(f"| `{here}` | | {' '.join(comment)} |")
        path.append((indent, name))
        comment = []
    return "\n".join(table)


def with_version(chart: str) -> str:
    """Return ``chart``, the text of ``Chart.yaml`` or ``values.yaml``, with the version from ``pyproject.toml``."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return re.sub(r"^(version|appVersion|chartVersion): .*$", rf"\1: {version}", chart, flags=re.MULTILINE)


def defaults(text: str) -> str:
    """Return the chart's values as a file that templates read. They complete the values of an older chart."""
    return yaml.safe_dump(yaml.safe_load(text), sort_keys=False)


def main() -> None:
    """Write every generated file."""
    MANIFEST.write_text(rendered())
    CHART_CRD.write_text(rendered())
    CHART_WEBHOOKS.write_text(WEBHOOKS.read_text())
    REFERENCE.write_text(with_generated(REFERENCE.read_text(), reference()))
    chart_readme = CHART / "README.md"
    for name in ("Chart.yaml", "values.yaml"):
        (CHART / name).write_text(with_version((CHART / name).read_text()))
    CHART_DEFAULTS.write_text(defaults((CHART / "values.yaml").read_text()))
    table = values((CHART / "values.yaml").read_text())
    chart_readme.write_text(with_generated(chart_readme.read_text(), table))
    sys.stdout.write("wrote the CRD, the reference, and the chart's defaults, table and webhook configurations\n")


if __name__ == "__main__":
    main()
