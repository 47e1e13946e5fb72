"""``docs/llms.txt``: the manual's contents for language models, generated from its pages (https://llmstxt.org).

``python -m tests.docs.llms`` writes it. ``make generate`` does it too.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from cli.manual import DOCS
from tests.harness.clusters import ROOT

PATH = DOCS / "llms.txt"
FRONT_MATTER = re.compile(r"\A---\n(.*?)^---$", re.MULTILINE | re.DOTALL)


def version() -> str:
    """The project's version."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def text() -> str:
    """The text of the file: a title, a summary, and a section of links for each part of the manual."""
    site: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    lines = [f"# {site['site_name']}", "", f"> {site['site_description']}. Version {version()}.", ""]
    for entry in site["nav"]:
        ((title, pages),) = entry.items()
        lines += [f"## {title}", "", *(_link(name, page) for name, page in _pages(title, pages)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _pages(title: str, pages: str | list[dict[str, str]]) -> Iterator[tuple[str, str]]:
    if isinstance(pages, str):
        yield title, pages
        return
    for entry in pages:
        yield from entry.items()


def _link(name: str, page: str) -> str:
    place = "" if page == "index.md" else page.removesuffix(".md") + "/"
    return f"- [{name}]({place or './'}): {summary((DOCS / page).read_text())}"


def summary(page: str) -> str:
    """The description in a page's front matter."""
    head = FRONT_MATTER.match(page)
    assert head is not None, f"a page needs a description in its front matter: {page[:80]}"
    return str(yaml.safe_load(head[1])["description"])


def main() -> None:
    """Write the file."""
    PATH.write_text(text())


if __name__ == "__main__":
    main()
