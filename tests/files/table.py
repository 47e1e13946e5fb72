"""``python -m tests.files.table``: records how kubectl reads scalars, for machines without kubectl."""

import json
import random
from pathlib import Path
from typing import Any

from files.scalars import BadScalar, key, resolve, through_json
from tests.files.kubectl import objects
from tests.files.manifests import ODD

FILE = Path(__file__).parent / "scalars.json"
HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
WORDS = (
    "y Y yes Yes YES yEs n N no No NO true True TRUE tRue false False on On ON oN off Off ~ null Null NULL nUll".split()
)
ALPHABETS = ("0123456789_.eExXoObBaAfF+-:nNyYtT~=<lIi", "0123456789._e+-xob", "01-+_.e")


def is_plain(text: str) -> bool:
    """Whether ``text`` is a valid plain scalar everywhere, also in a list in brackets."""
    return (
        bool(text)
        and text[0] not in "@%&*!|>'\"#`,[]{}?:" + ("" if text[1:] else "-")
        and not text.startswith(("- ", "---", "..."))
        and not text.endswith(":")
        and not any(bad in text for bad in (": ", " #", ",", "[", "]", "{", "}"))
        and text != "<<"
    )


def drawn(rnd: random.Random, number: int) -> list[str]:
    """Scalars of characters that occur in numbers."""
    scalars: set[str] = set()
    while len(scalars) < number:
        text = "".join(rnd.choice(rnd.choice(ALPHABETS)) for _ in range(rnd.randint(1, 7)))
        if is_plain(text):
            scalars.add(text)
    return sorted(scalars)


def ours(text: str) -> tuple[Any, str | None]:
    """The project's reading of a plain scalar as a value and as a key. ``ValueError`` means that it is refused."""
    value = resolve(text)
    try:
        name = key(value)
    except BadScalar:
        name = None
    try:
        return through_json(value), name
    except BadScalar:
        return BadScalar, name


def theirs(texts: list[str]) -> list[tuple[Any, str | None]]:
    """kubectl's reading. It gets no scalar that the project refuses, because kubectl would refuse the whole file."""
    values = [text for text in texts if ours(text)[0] is not BadScalar]
    names = [text for text in texts if ours(text)[1] is not None]
    lines = ["block:", *(f"- {t}" for t in values), "flow: [" + ", ".join(values) + "]"]
    lines += ["values:", *(f"  k{i:05}: {t}" for i, t in enumerate(values))]
    lines += ["keys:", *(f"- {{{t}: 1}}" for t in names if ":" not in t), *(f"-\n  {t}: 1" for t in names if ":" in t)]
    lines += ["quoted:", *(f"- {json.dumps(t)}\n- '{t}'" for t in texts)]
    listed = objects((HEAD + "\n".join(lines) + "\n").encode())
    assert isinstance(listed, list), listed
    (obj,) = listed
    assert obj["block"] == obj["flow"] == list(obj["values"].values()), (
        "a scalar has different values in different places"
    )
    assert obj["quoted"] == [t for t in texts for _ in range(2)], "a quoted scalar is not text"
    read = dict(zip(values, obj["block"], strict=True))
    ordered = [t for t in names if ":" not in t] + [t for t in names if ":" in t]
    keys = dict(zip(ordered, (next(iter(k)) for k in obj["keys"]), strict=True))
    return [(read.get(text, BadScalar), keys.get(text)) for text in texts]


def main() -> None:
    """Record the table."""
    texts = sorted({*filter(is_plain, ODD), *WORDS, *drawn(random.Random(1), 900)})
    rows = {t: ["refused" if v is BadScalar else {"is": v}, k] for t, (v, k) in zip(texts, theirs(texts), strict=True)}
    FILE.write_text(json.dumps(rows, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
