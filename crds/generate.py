"""``make generate``: writes what is made from the models, so that it never has to be written by hand."""

import sys
from pathlib import Path
from typing import Any

from crds.manifest import MANIFEST, manifest, rendered

README = Path(__file__).parent.parent / "README.md"
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


def main() -> None:
    """Write every generated file."""
    MANIFEST.write_text(rendered())
    README.write_text(with_reference(README.read_text()))
    sys.stdout.write(f"wrote {MANIFEST.name} and the reference in {README.name}\n")


if __name__ == "__main__":
    main()
