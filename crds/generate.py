"""``make generate``: writes what is made from the models, so that it never has to be written by hand."""

import sys
from pathlib import Path
from typing import Any

from crds.manifest import MANIFEST, manifest, rendered

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CHART = ROOT / "charts" / "asya-operator"
CHART_CRD = CHART / "files" / "asyncactors.yaml"
BEGIN, END = "<!-- generated: reference -->", "<!-- end of generated -->"


def rows(schema: dict[str, Any], path: str = "") -> list[str]:
    """One Markdown table row a field below ``schema``, parents before children."""
    result = []
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
        result.append(f"| `{here}` | {kind} | {shown} | {child.get('description', '')} |")
        result += rows(child, here + ".")
    return result


def reference() -> str:
    """The reference table of the README."""
    spec = manifest()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return "\n".join(["| field of `spec` | type | default | meaning |", "|---|---|---|---|", *rows(spec)])


def with_reference(readme: str) -> str:
    """``readme`` with its generated part made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def values(text: str) -> str:
    """The table of a chart's values: a row a key, with the comment above it."""
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


def with_values(readme: str, text: str) -> str:
    """The chart's README with its table of values made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{values(text)}\n{END}{after}"


def main() -> None:
    """Write every generated file."""
    MANIFEST.write_text(rendered())
    CHART_CRD.write_text(rendered())
    README.write_text(with_reference(README.read_text()))
    chart_readme = CHART / "README.md"
    chart_readme.write_text(with_values(chart_readme.read_text(), (CHART / "values.yaml").read_text()))
    sys.stdout.write("wrote the CRD, here and in the chart, and the tables in both READMEs\n")


if __name__ == "__main__":
    main()
