"""Manifests in every style that people write. hypothesis draws the content first, then the style.

A :class:`Shared` value is an anchor at its first place and an alias at later ones. A :class:`Merged` map has a merge
key. Odd scalars keep their spelling, so that no code must know their meaning.
"""

import json
import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

ODD = (
    "22:30 9:30 0o644 0644 08 2024-05-06 12e5 = 1_000 0x1F 0b11 0o17 -0 +1 .5 5. 1e3 1E-3 y n yes No on OFF true False "
    "~ null Null 1:2:3 -1:30 190:20:30.15 .e3 1e400 18446744073709551615 9223372036854775808 "
    "2001-12-14t21:59:43.10-05:00 "
    "0x_1 1__0 _1 0b 0x 1.5.2 v1.2 a:b a#b http://x:80/y ...x -x +x @x"
).split()
"""Scalars that YAML parsers read differently."""


@dataclass
class Shared:
    """A value that is written once and then referred to."""

    name: str
    value: Any


@dataclass
class Merged:
    """A map with ``<<`` before or after its own keys."""

    bases: list[Shared]
    own: dict[str, Any]
    last: bool = False


@dataclass(frozen=True)
class Plain:
    """A scalar in the spelling to write."""

    text: str


@dataclass
class Style:
    """The style of one document."""

    rnd: random.Random
    offset: int = 0
    indent: int = 2
    newline: str = "\n"
    comments: bool = True
    trailing: bool = True
    flow: float = 0.15
    known: set[str] = field(default_factory=set)

    def maybe(self, share: float) -> bool:
        """True with this probability."""
        return self.rnd.random() < share


def scalar(value: Any, style: Style, *, flow: bool) -> str:
    """A scalar in one of its spellings."""
    if isinstance(value, Plain):
        risky = flow and any(c in value.text for c in ",[]{}")
        text: str = value.text
        return json.dumps(text) if risky or text.startswith("@") else text
    if value is None:
        return style.rnd.choice(["null", "~", "Null", "NULL"] if flow else ["null", "~", "", "NULL"])
    if isinstance(value, bool):
        return style.rnd.choice(["true", "True", "yes", "on"] if value else ["false", "False", "no", "Off"])
    if isinstance(value, int):
        return style.rnd.choice([str(value), f"0x{value:x}", f"0o{value:o}"]) if value > 9 else str(value)
    simple = value.replace("-", "").replace("/", "").replace(".", "").isalpha() and value.lower() not in (
        "y n yes no on off true false null".split()
    )
    choices = [json.dumps(value), *([] if "\n" in value else ["'" + value.replace("'", "''") + "'"])]
    return str(style.rnd.choice([value] * 6 + choices if simple else choices))


def flow(value: Any, style: Style) -> str:
    """A value on one line."""
    if isinstance(value, Shared):
        if value.name in style.known:
            return f"*{value.name} "
        text = flow(value.value, style)
        style.known.add(value.name)
        return f"&{value.name} {text}"
    if isinstance(value, Merged):
        merge = f"<<: {_bases(value, style)}"
        own = [f"{scalar(k, style, flow=True)}: {flow(v, style)}" for k, v in value.own.items()]
        return "{" + ", ".join([*own, merge] if value.last else [merge, *own]) + "}"
    gap = style.rnd.choice(["", "", "", " "])
    comma = style.rnd.choice([", ", ", ", ",  "])
    if isinstance(value, dict):
        inner = comma.join(f"{scalar(k, style, flow=True)}: {flow(v, style)}" for k, v in value.items())
        tail = "," if value and style.maybe(0.1) else ""
        return "{" + gap + inner + tail + gap + "}"
    if isinstance(value, list):
        tail = "," if value and style.maybe(0.1) else ""
        return "[" + gap + comma.join(flow(v, style) for v in value) + tail + gap + "]"
    return scalar(value, style, flow=True)


def _bases(value: Merged, style: Style) -> str:
    texts = [flow(base, style) for base in value.bases]
    return texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"


def _comment(style: Style) -> str:
    if not style.comments or not style.maybe(0.12):
        return " " * style.rnd.choice([0, 0, 0, 2]) if style.trailing and style.maybe(0.1) else ""
    return style.rnd.choice([" # note", "   # was: null", " #", "\t# tabbed"])


def _between(style: Style, column: int) -> list[str]:
    if not style.comments or not style.maybe(0.1):
        return []
    return [style.rnd.choice(["", "# at the margin", " " * column + "# here", " " * (column + 4) + "# further", "  "])]


def block(value: Any, style: Style, column: int) -> list[str]:
    """The lines of a map or list that is not empty."""
    pad = " " * column
    lines: list[str] = []
    if isinstance(value, Merged):
        entries: list[tuple[str, Any]] = list(value.own.items())
        entries.insert(len(entries) if value.last else 0, ("<<", value))
    elif isinstance(value, dict):
        entries = list(value.items())
    else:
        for item in value:
            lines += _between(style, column)
            lines += _hung(f"{pad}-", item, style, column + 2, column + 2, item=True)
        return lines
    for name, child in entries:
        lines += _between(style, column)
        if name == "<<" and isinstance(child, Merged):
            lines.append(f"{pad}<<: {_bases(child, style)}{_comment(style)}")
            continue
        key = scalar(name, style, flow=False)
        if style.maybe(0.03):
            lines += [f"{pad}? {key}"]
            key = ""
        is_list = isinstance(child.value if isinstance(child, Shared) else child, list)
        deeper = column + (style.offset if is_list else style.indent)
        lines += _hung(f"{pad}{key}:", child, style, deeper, column)
    return lines


def _hung(head: str, child: Any, style: Style, column: int, above: int, *, item: bool = False) -> list[str]:
    """A value after a key or a dash."""
    if isinstance(child, Shared):
        if child.name in style.known:
            return [f"{head} *{child.name}{_comment(style)}"]
        shared, child = child, child.value
        head = f"{head} &{shared.name}"
        made = _hung(head, child, style, column, above)
        style.known.add(shared.name)
        return made
    if isinstance(child, str) and style.maybe(0.08) and child.strip() == child and child:
        inner = " " * (above + 2)
        lines = child.split("\n")
        header = style.rnd.choice(["|-", ">-"] if len(lines) == 1 else ["|", "|-", "|+", ">", ">-"])
        return [f"{head} {header}", *(inner + line for line in lines)]
    if not isinstance(child, dict | list | Merged) or not child or style.maybe(style.flow):
        text = flow(child, style) if isinstance(child, dict | list | Merged) else scalar(child, style, flow=False)
        text = text.rstrip()
        comment = _comment(style)
        return [f"{head} {text}{comment}" if text else head + comment.replace("\t", " ")]
    lines = block(child, style, column)
    first = lines[0]
    if item and first.strip() and not first.strip().startswith("#") and style.maybe(0.9):
        return [f"{head} {first[column:]}", *lines[1:]]
    return [head + _comment(style).replace("\t", " "), *lines]


def as_yaml(value: Any, style: Style) -> str:
    """A document's text."""
    lines = block(value, style, 0)
    if style.maybe(0.5):
        lines += _between(style, 0)
    return style.newline.join(lines) + (style.newline if style.maybe(0.8) else "")


def plain(value: Any) -> Any:
    """The value of a drawn node. Odd scalars stay as they are."""
    if isinstance(value, Shared):
        return plain(value.value)
    if isinstance(value, Merged):
        own = {k: plain(v) for k, v in value.own.items()}
        base = {k: v for b in reversed(value.bases) for k, v in plain(b).items()}
        return {**own, **base} if value.last else {**base, **own}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value.text if isinstance(value, Plain) else value


def _environment(rnd: random.Random) -> list[Any]:
    """Variables of a container: those of injection, and odd ones."""

    def some(*choices: Any) -> Any:
        return rnd.choice(choices)

    def odd() -> Any:
        return some("x", "two words", "line\nline", Plain(rnd.choice(ODD)), "", "it's", 7, 443, True, None)

    env = [
        *([{"name": "ASYA_HANDLER", "value": "app.handle"}] if rnd.random() < 0.7 else []),
        *([{"name": "ASYA_SOCKET_DIR", "value": some("/else", "/var/run/asya")}] if rnd.random() < 0.2 else []),
        *(
            [{"name": "ASYA_SOCKET_PATH", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
            * (rnd.random() < 0.1)
        ),
        *({"name": f"E{i}", "value": odd()} for i in range(rnd.randint(0, 2))),
    ]
    env = [e for e in env if isinstance(e.get("value", ""), str | Plain)]
    return [
        {**e, "value": e["value"] if isinstance(e["value"], str) else json.dumps(e["value"].text)[1:-1]}
        if "value" in e
        else e
        for e in env
    ]


def _container(rnd: random.Random, name: str, base: Shared, env_value: Any, mounts: Any) -> Any:
    """A container with any of the fields that injection changes."""

    def some(*choices: Any) -> Any:
        return rnd.choice(choices)

    own: dict[str, Any] = {"name": name}
    if rnd.random() < 0.7:
        own["env"] = env_value
    if rnd.random() < 0.6:
        own["volumeMounts"] = mounts
    if rnd.random() < 0.3:
        own["command"] = some([], None, ["python3", "x.py"])
    for probe in ("startupProbe", "readinessProbe"):
        if rnd.random() < 0.2:
            own[probe] = some({}, None)
    if rnd.random() < 0.3:
        own["args"] = [some("a", Plain("'='"), Plain('"12e5"'), "line\nline")]
    if rnd.random() < 0.3:
        own["resources"] = {"limits": {"memory": "1Gi"}}
    return Merged([base], own, last=rnd.random() < 0.1) if rnd.random() < 0.25 else {**own, "image": "app:2"}


def deployment(rnd: random.Random) -> Any:
    """A labelled Deployment with any of the fields that injection changes, in any state."""

    def some(*choices: Any) -> Any:
        return rnd.choice(choices)

    def shared(name: str, value: Any) -> Any:
        return Shared(name, value) if rnd.random() < 0.35 else value

    labels = shared("labels", {"app": "shop"} if rnd.random() < 0.8 else {"app": "shop", "asya.io/actor": "text"})
    env = _environment(rnd)
    env_value: Any = shared("env", env) if env else some([], None)
    mounts: Any = shared("mounts", [{"name": "data", "mountPath": "/data"}]) if rnd.random() < 0.5 else some([], None)
    base = Shared("base", {"image": "app:1", **({"env": env_value} if rnd.random() < 0.5 else {})})

    common = base, env_value, mounts
    containers = [
        _container(rnd, "runtime", *common),
        *(_container(rnd, n, *common) for n in ("log", "two")[: rnd.randint(0, 2)]),
    ]
    rnd.shuffle(containers)
    spec: dict[str, Any] = {"containers": containers}
    for key, value in (
        ("volumes", some([], None, [{"name": "data", "emptyDir": {}}])),
        ("initContainers", some([], None, [{"name": "init", "image": "app:1"}])),
        ("terminationGracePeriodSeconds", some(10, 20, 60, None)),
        ("nodeSelector", {"disk": Plain('"12e5"')}),
        ("restartPolicy", "Always"),
    ):
        if rnd.random() < 0.35:
            spec[key] = value
    metadata: dict[str, Any] = {"labels": labels}
    if rnd.random() < 0.5:
        metadata["annotations"] = some({}, None, shared("notes", {"a": "b"}), {"c": Plain('"12e5"')})
    items = list(metadata.items())
    rnd.shuffle(items)
    template = {"metadata": some({}, None) if rnd.random() < 0.1 else dict(items), "spec": spec}
    outer: dict[str, Any] = {"name": "web", "labels": {"asya.io/actor": "text", "commit": Plain('"12e5"')}}
    if rnd.random() < 0.3:
        outer["annotations"] = metadata.get("annotations") or {"x": "y"}
    body: dict[str, Any] = {"selector": {"matchLabels": labels}, "template": template}
    if rnd.random() < 0.3:
        body = {"template": template, "selector": {"matchLabels": labels}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": outer,
        **({"x-odd": [Plain(rnd.choice(ODD)) for _ in range(3)]} if rnd.random() < 0.3 else {}),
        "spec": body,
    }


def other(rnd: random.Random) -> Any:
    """An object that injection must not change."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "other"},
        "data": {f"k{i}": Plain(rnd.choice(ODD)) for i in range(4)},
    }


def style(rnd: random.Random) -> Style:
    """A style to write in."""
    return Style(
        rnd,
        offset=rnd.choice([0, 2, 2, 4]),
        indent=rnd.choice([2, 2, 2, 3, 4]),
        newline=rnd.choice(["\n", "\n", "\n", "\r\n"]),
        comments=rnd.random() < 0.7,
        trailing=rnd.random() < 0.3,
        flow=rnd.choice([0, 0.1, 0.3, 1]),
    )


def yaml_file(rnd: random.Random) -> tuple[bytes, list[Any]]:
    """A file of several documents, and their values."""
    values = [rnd.choice([deployment, deployment, other])(rnd) for _ in range(rnd.randint(1, 3))]
    text = rnd.choice(["", "", "# a file\n", "---\n", "--- # first\n"])
    for value in values:
        if text and text not in ("---\n", "--- # first\n", "# a file\n"):
            text += ("" if text.endswith("\n") else "\n") + rnd.choice(["---\n", "--- \n", "---\t# next\n"])
        text += as_yaml(value, style(rnd))
    encoding = rnd.choice(["utf-8"] * 5 + ["utf-8-sig", "utf-16"])
    return text.encode(encoding), [plain(value) for value in values]


def json_file(rnd: random.Random) -> tuple[bytes, list[Any]]:
    """A stream of JSON documents."""
    values = [plain(rnd.choice([deployment, other])(rnd)) for _ in range(rnd.randint(1, 3))]
    values[0]["metadata"]["note"] = "\U0001f600 é"
    texts = []
    for value in values:
        form: Any = rnd.choice([{"indent": 2}, {"indent": 4}, {"separators": (",", ":")}, {}, {"indent": 1}])
        texts.append(json.dumps(value, ensure_ascii=rnd.random() < 0.5, **form))
    return (rnd.choice(["\n", "", "\n\n"]).join(texts) + rnd.choice(["\n", ""])).encode(), values


SEEDS = st.integers(0, 2**32 - 1).map(random.Random)
"""Random sources. hypothesis draws only the seed, because it would shrink a file in a thousand ways."""

FILES = SEEDS.map(lambda rnd: rnd.choice([yaml_file, yaml_file, yaml_file, json_file])(rnd))
"""Files in every style."""
