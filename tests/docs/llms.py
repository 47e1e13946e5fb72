"""``docs/llms.txt``: the manual's contents for language models, generated from its pages (https://llmstxt.org).

``python -m tests.docs.llms`` writes it. ``make generate`` does it too.
"""

import re
import tomllib
from typing import Any

import yaml

from cli.manual import DOCS
from tests.harness.clusters import ROOT

PATH = DOCS / "llms.txt"
READERS = ("For data scientists", "For service owners", "For platform engineers")
"""Parts of the manual with a page for each task."""
FRONT_MATTER = re.compile(r"\A---\n(.*?)^---$", re.MULTILINE | re.DOTALL)


def version() -> str:
    """The project's version."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def navigation() -> dict[str, dict[str, str]]:
    """The pages of each part of the manual by their titles. A page on its own is a part."""
    entries: list[dict[str, Any]] = _site()["nav"]
    parts = {title: pages for entry in entries for title, pages in entry.items()}
    return {title: {title: p} if isinstance(p, str) else _merged(p) for title, p in parts.items()}


def _merged(entries: list[dict[str, str]]) -> dict[str, str]:
    return {title: page for entry in entries for title, page in entry.items()}


def _site() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "mkdocs.yml").read_text()))


def text() -> str:
    """The file: a title, a summary, and a section of links for each part of the manual."""
    site = _site()
    lines = [f"# {site['site_name']}", "", f"> {site['site_description']}. Version {version()}.", ""]
    for title, pages in navigation().items():
        lines += [f"## {title}", "", *(_link(name, page) for name, page in pages.items()), ""]
    return "\n".join(lines).rstrip() + "\n"


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
