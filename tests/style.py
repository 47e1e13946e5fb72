"""``python -m tests.style``: what ``make lint`` checks of words and sizes, beside ruff.

Names must say what a thing is, a sentence must be understood at first sight, and a file or function must be read at
one sitting.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FILE_LINES, FUNCTION_LINES = 400, 60
SENTENCE_WORDS = 45
"""In one sentence of a docstring."""
LONG_FILES: Final = {
    "runtime/asya_runtime.py": "one file, since a ConfigMap mounts it into the user's container",
}
NAMES: Final = {"again", "census", "found", "seen", "strange", "told"}
"""Names of variables, arguments, attributes and functions that do not say what a thing is."""
PHRASES: Final = (
    "nobody contests",
    "is no case of",
    "a kubeconfig that is none",
    "that is none of",
    "is none of ours",
    "what is no ",
    "tells of no ",
    "is told of",
)
"""Phrases that a reader has to solve."""


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name that ``tree`` gives to something, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every docstring of ``tree``, those below attributes and constants included, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def sentences(text: str) -> Iterator[str]:
    """The sentences of a docstring; items of a list and entries of a table are sentences of their own."""
    for paragraph in re.split(r"\n\s*\n|\n\s*(?:[*-] |\w+: )", text):
        if "::" in paragraph or "|" in paragraph:
            continue
        yield from re.split(r"(?<=[.:;!?])\s+", " ".join(paragraph.split()))


def faults(path: str, text: str) -> Iterator[str]:
    """What is wrong with one file of Python."""
    count = text.count("\n")
    if count > FILE_LINES and path not in LONG_FILES:
        yield f"{path}:1: {count} lines, {FILE_LINES} at the most: split it by subject"
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines, {FUNCTION_LINES} at the most"
    for line, name in names(tree):
        if name.strip("_").lower() in NAMES:
            yield f"{path}:{line}: the name {name!r} does not say what the thing is"
    for line, docstring in docstrings(tree):
        for sentence in sentences(docstring):
            if len(sentence.split()) > SENTENCE_WORDS:
                yield f"{path}:{line}: a sentence of {len(sentence.split())} words: {sentence[:60]}…"


def riddles(path: str, text: str) -> Iterator[str]:
    """The phrases of a file that a reader has to solve."""
    for number, line in enumerate(text.splitlines(), 1):
        for phrase in PHRASES:
            if phrase in line.lower():
                yield f"{path}:{number}: say it plainly: {phrase!r}"


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    wrong: list[str] = []
    for path in sorted({path for path in listed if path != "tests/style.py"}):
        text = (ROOT / path).read_text()
        wrong += [*(faults(path, text) if path.endswith(".py") else ()), *riddles(path, text)]
    print("\n".join(wrong) or "names, sentences and sizes are as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
