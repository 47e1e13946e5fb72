"""Injection of a file changes only the bytes that it must, and un-injection restores every byte."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from typer.testing import CliRunner

from cli.main import app
from cli.offline import Offline
from files.memory import add_originals, originals_of
from files.nodes import BadFile
from files.reading import Document, documents_of, read, split, written
from injection.inject import read_record
from tests.files.manifests import FILES, SEEDS, Style, as_yaml, yaml_file
from tests.golden import ACTORS, SCRIPT, offline

HEAD = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {asya.io/actor: text}}\n"


def injected(data: bytes) -> bytes:
    known = offline()
    made = written([known.inject(document) for document in documents_of(data, "f")])
    assert not known.errors, known.errors
    return made


def uninjected(data: bytes) -> bytes:
    return written([Offline.uninject(document) for document in documents_of(data, "f")])


def only(text: str) -> Document:
    (document,) = split(text, "f")
    return document


@settings(max_examples=150)
@given(FILES)
def test_injecting_and_uninjecting_gives_the_same_bytes(file: tuple[bytes, list[Any]]) -> None:
    data, _ = file
    assert written(documents_of(data, "f")) == data
    made = injected(data)
    assert injected(made) == made, "injecting an injected file changes it"
    assert uninjected(made) == data


@settings(max_examples=60)
@given(FILES)
def test_a_document_without_a_change_keeps_its_bytes(file: tuple[bytes, list[Any]]) -> None:
    documents = documents_of(file[0], "f")
    known = offline()
    for document in documents:
        if "kind: Deployment" not in document.text and "ConfigMap" in document.text:
            assert known.inject(document) is document
        assert Offline.uninject(document) is document


@settings(max_examples=60)
@given(SEEDS)
def test_the_lines_of_a_changed_document_keep_their_order(rnd: random.Random) -> None:
    """In block style without anchors and nulls, only whole lines are added."""
    template = {
        "metadata": {"labels": {"app": "web", "tier": "back"}},
        "spec": {
            "containers": [{"name": "runtime", "image": "app:1", "env": [{"name": "ASYA_HANDLER", "value": "a.b"}]}],
            "volumes": [{"name": "data", "hostPath": {"path": "/x"}}],
        },
    }
    outer = {"name": "web", "labels": {"asya.io/actor": "text"}}
    value = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": outer, "spec": {"template": template}}
    way = Style(rnd, offset=rnd.choice([0, 2]), newline=rnd.choice(["\n", "\r\n"]), trailing=True, flow=0)
    text = as_yaml(value, way)
    made = iter(injected(text.encode()).decode().split(way.newline))
    assert all(line in made for line in text.split(way.newline) if line), text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            "spec: {selector: {matchLabels: &l {app: shop}}, template: {metadata: {labels: *l}, spec: {containers: "
            "[{name: runtime}]}}}\n",
            {"/spec/template/metadata/labels"},
        ),
        (
            "spec:\n  template:\n    metadata:\n      labels: &l {app: shop}\n    spec:\n      containers:\n"
            "      - name: runtime\n  selector:\n    matchLabels: *l  # the same\n",
            {"/spec/selector/matchLabels"},
        ),
        (
            "x-base: &base\n  env: &e\n  - {name: A, value: b}\nspec:\n  template:\n    spec:\n      containers:\n"
            "      - <<: *base\n        name: runtime\n      - <<: *base\n        name: other\n        env: *e\n",
            {"/spec/template/spec/containers/0/env"},
        ),
    ],
)
def test_shared_values_are_split_only_where_they_differ(text: str, kept: set[str]) -> None:
    text = HEAD + text
    made = only(injected(text.encode()).decode())
    before = only(text).value
    assert made.value["spec"].get("selector") == before["spec"].get("selector")
    assert made.value.get("x-base") == before.get("x-base")
    record = made.value["spec"]["template"]["metadata"]["annotations"]["asya.io/injected"]
    assert set(originals_of(record)) == kept
    assert uninjected(made.text.encode()).decode() == text


def test_kept_texts_do_not_affect_the_record() -> None:
    text = HEAD + "spec: {template: {spec: {volumes: null, containers: [{name: runtime}]}}}\n"
    template = only(injected(text.encode()).decode()).value["spec"]["template"]
    assert "/spec/template/spec/volumes" in originals_of(template["metadata"]["annotations"]["asya.io/injected"])
    assert read_record(template) is not None


@pytest.mark.parametrize("record", [None, "", "[]", "{", '{"text":1}', '{"text":{"/a":1}}'])
def test_an_invalid_record_has_no_texts(record: Any) -> None:
    assert originals_of(record) == {}


def test_a_forged_text_changes_only_the_style() -> None:
    text = HEAD + "spec:\n  template:\n    spec:\n      volumes: null\n      containers:\n      - name: runtime\n"
    made = only(injected(text.encode()).decode())
    annotations = made.value["spec"]["template"]["metadata"]["annotations"]
    for forged in (" [{name: evil, emptyDir: {}}]", "\n  evil: x", " *evil", " {"):
        record = add_originals(
            annotations["asya.io/injected"], {"/spec/template/spec/volumes": forged, "/metadata": " {}"}
        )
        was, now = (repr(r)[1:-1].replace("\\\\", "\\") for r in (annotations["asya.io/injected"], record))
        assert was in made.text
        back = Offline.uninject(only(made.text.replace(was, now)))
        assert (back.value["spec"]["template"]["spec"], back.value["metadata"]) == (
            {"volumes": back.value["spec"]["template"]["spec"]["volumes"], "containers": [{"name": "runtime"}]},
            only(text).value["metadata"],
        )
        assert not back.value["spec"]["template"]["spec"]["volumes"]


def test_later_edits_stay() -> None:
    text = HEAD + (
        "spec:\n  template:\n    metadata:\n      labels: {app: web}\n    spec:\n      terminationGracePeriodSeconds: 0xA\n"  # noqa: E501
        "      containers:\n      - name: runtime\n        env: [{name: A, value: b}]\n"
    )
    made = injected(text.encode()).decode()
    edited = made.replace("{name: A, value: b}", "{name: A, value: other}, {name: B, value: c}").replace(
        "app: web", "app: shop"
    )
    wanted = text.replace("{name: A, value: b}", "{name: A, value: other}, {name: B, value: c}").replace(
        "app: web", "app: shop"
    )
    assert uninjected(edited.encode()).decode() == wanted


def test_a_pod_whose_actor_changed_is_reinjected() -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  labels:\n    asya.io/actor: text  # ours\n"
        "spec:\n  containers:\n  - name: runtime\n    env:  # none\n"
    )
    first = injected(text.encode()).decode()
    known = offline()
    key = ("default", "text")
    actor = known.actors[key]
    sidecar = actor.spec.sidecar.model_copy(update={"image": "sidecar:2"})
    known.actors[key] = actor.model_copy(update={"spec": actor.spec.model_copy(update={"sidecar": sidecar})})
    second = known.inject(only(first)).whole
    assert "image: sidecar:2" in second
    assert second == known.inject(only(text)).whole
    assert uninjected(second.encode()).decode() == text


# -- the command -----------------------------------------------------------------------------------


def run(*arguments: str, data: bytes = b"") -> Any:
    result = CliRunner().invoke(app, list(arguments), input=data, env={"ASYA_RUNTIME_LOCAL_PATH": str(SCRIPT)})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


DEPLOYMENT = HEAD + "spec:\n  template:\n    spec:\n      containers:\n      - name: runtime\n"
BAD = {
    "a duplicate key": ("---\n# next\na: 1\nb: 2\na: 3\n", "9+4:1", "the key 'a' is there twice"),
    "a tab": ("---\na:\n\tb: c\n", "9+2:1", "found character that cannot start any token"),
    "a bad alias": ("---\na: *b\n", "9+1:4", "anchor 'b' is not known"),
    "cut off": ("---\na: [b\n", "9+2:1", ""),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", ["inject", "uninject", "render"])
def test_a_bad_document_gives_one_line_and_no_output(name: str, command: str, tmp_path: Path) -> None:
    tail, where, problem = BAD[name]
    file = tmp_path / "all.yaml"
    file.write_bytes((DEPLOYMENT + tail).encode())
    actor = ["--actor", str(ACTORS)] if command == "inject" else []
    done = run(command, "-f", str(file), *actor)
    assert (done.exit_code, done.stdout_bytes) == (1, b"")
    (line,) = done.stderr.splitlines()
    plus, _, column = where.partition(":")
    wanted = len(DEPLOYMENT.splitlines()) + 1 + int(plus.split("+")[1]) - 0
    assert line.startswith(f"{file}:{wanted}:{column}: "), line
    assert problem in line


def test_a_byte_order_mark_after_the_first_separator_is_an_error() -> None:
    """kubectl reads it as part of the first key, so there is no apiVersion. In other places kubectl accepts it."""
    with pytest.raises(BadFile, match=r"^f:2:1: kubectl takes this byte order mark"):
        documents_of(("---\n\ufeff" + DEPLOYMENT).encode(), "f")
    assert injected((DEPLOYMENT + "---\n\ufeff" + DEPLOYMENT).encode()).count(b"name: sidecar\n") == 2


def test_a_denied_document_stops_all_output(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(DEPLOYMENT + "---\n" + DEPLOYMENT.replace("name: runtime", "name: sidecar"))
    done = run("inject", "-f", str(file), "--actor", str(ACTORS))
    assert (done.exit_code, done.stdout_bytes) == (1, b"")


@settings(max_examples=15)
@given(SEEDS.map(yaml_file))
def test_the_command_copies_bytes_unchanged(file: tuple[bytes, list[Any]]) -> None:
    made = run("inject", "-f", "-", "--actor", str(ACTORS), data=file[0])
    assert made.exit_code == 0, made.stderr
    back = run("uninject", "-f", "-", data=made.stdout_bytes)
    assert back.stdout_bytes == file[0]


def test_files_stay_separate(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("a: 1")
    two.write_text("b: 2\n")
    assert run("uninject", "-f", str(one), "-f", str(two)).stdout == "a: 1\n---\nb: 2\n"


def test_render_keeps_the_types_of_values(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    odd = '"12e5" "22:30" "0o644" "2024-05-06" "=" "y" "1_000" ".5" "~" "<<"'.split()
    file.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n"
        + "".join(f"  k{i}: {t}\n" for i, t in enumerate(odd))
    )
    done = run("render", "-f", str(file))
    assert split(done.stdout)[0].value == read([str(file)])[0].value


def test_render_prints_namespaces_first(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(DEPLOYMENT + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n")
    kinds = [d.value["kind"] for d in split(run("render", "-f", str(file), "-f", str(ACTORS)).stdout)]
    assert kinds[0] == "Namespace"
    assert kinds.index("ConfigMap") < kinds.index("Deployment")
