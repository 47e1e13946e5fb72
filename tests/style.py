"""``python -m tests.style``: the checks of ``make lint`` for words and sizes, in addition to ruff.

Names must say what a thing is. Readers must understand each sentence at first sight. Files and functions must be short.
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
SENTENCE_WORDS = 30
"""Most words in one sentence of a docstring."""
LONG_FILES: Final = {
    "runtime/asya_runtime.py": "one file, because a ConfigMap mounts it into the user's container",
}
NAMES: Final = {
    "again",
    "asked",
    "begun",
    "came",
    "census",
    "come",
    "found",
    "met",
    "said",
    "seen",
    "strange",
    "tells",
    "told",
}
"""Forbidden names of variables, arguments, attributes and functions: they do not say what a thing is."""
PHRASES: Final = (
    "nobody contests",
    "is no case of",
    "a kubeconfig that is none",
    "that is none of",
    "is none of ours",
    "what is no ",
    "tells of no ",
    "is told of",
    "are told",
    "as it were",
    "come about",
    "comes about",
    "for want of",
    "has it that",
    "in earnest",
    "in vain",
    "is said of",
    "is to be said",
    "knows of no ",
    "let go of",
    "lets go of",
    "no business of",
    "of theirs",
    "on its own account",
    "tells whether",
    "that which",
    "thereof",
    "what became of",
    "what there is",
    "who asks",
)
"""Forbidden phrases: a reader must think about them before they make sense."""


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name that ``tree`` defines, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every docstring of ``tree`` with its line, including those of attributes and constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def sentences(text: str) -> Iterator[str]:
    """The sentences of a docstring. An element of a list and an entry of a table count as sentences."""
    for paragraph in re.split(r"\n\s*\n|\n\s*(?:[*-] |\w+: |``)", text):
        if "::" in paragraph or "|" in paragraph:
            continue
        yield from re.split(r"(?<=[.:;!?])\s+", " ".join(paragraph.split()))


def faults(path: str, text: str) -> Iterator[str]:
    """The faults of one Python file."""
    count = text.count("\n")
    if count > FILE_LINES and path not in LONG_FILES:
        yield f"{path}:1: {count} lines; the limit is {FILE_LINES}: split the file by subject"
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines; the limit is {FUNCTION_LINES}"
    for line, name in names(tree):
        if name.strip("_").lower() in NAMES:
            yield f"{path}:{line}: the name {name!r} does not say what the thing is: use a noun"
    for line, docstring in docstrings(tree):
        for sentence in sentences(docstring):
            if len(sentence.split()) > SENTENCE_WORDS:
                count = len(sentence.split())
                yield f"{path}:{line}: a sentence of {count} words; the limit is {SENTENCE_WORDS}: {sentence[:60]}…"


def forbidden_phrases(path: str, text: str) -> Iterator[str]:
    """The forbidden phrases in a file."""
    for number, line in enumerate(text.splitlines(), 1):
        for phrase in PHRASES:
            if phrase in line.lower():
                yield f"{path}:{number}: {phrase!r} is hard to understand: rewrite the sentence"


def main() -> int:
    """Print all faults. Return 1 if there are any."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    all_faults: list[str] = []
    for path in sorted({path for path in listed if path != "tests/style.py"}):
        text = (ROOT / path).read_text()
        all_faults += [*(faults(path, text) if path.endswith(".py") else ()), *forbidden_phrases(path, text)]
    print("\n".join(all_faults) or "names, sentences and sizes are correct")
    return 1 if all_faults else 0


if __name__ == "__main__":
    sys.exit(main())
