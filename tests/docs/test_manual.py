"""Every YAML and every command of README and manual is tested, and the manual builds without a warning."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import typer.main
import yaml

from cli.main import app
from injection.settings import SidecarDefaults
from kube.resources import SECRETS
from release.binaries import binary
from tests.harness.clusters import ROOT, Cluster
from tests.harness.helm import Helm
from tests.harness.operator import Operator
from tests.harness.space import Space, actor, example
from webhook.validation import validate

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "charts/asya-operator/README.md", *ROOT.glob("docs/*.md")]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SNIPPET = re.compile(r'^--8<-- "(.*)"$', re.MULTILINE)
INLINE = re.compile(r"`((?:kubectl|helm|asya-operator|make) [^`]+)`")
FOLLOWED = {
    "docs/migrating.md": "tests/docs/test_migrating.py has the other operator's kind, and runs them in their order",
    "docs/change-function.md": "tests/docs/test_quickstart.py has built the image",
    "docs/quickstart-actor.md": "tests/docs/test_quickstart.py runs them in their order",
}
"""Pages whose commands depend on each other."""
FOLLOWS = (
    *(
        "--watch",
        "asya dashboard",
        "logs ",
        "rollout restart",
        "rollout status",
        " scale deployment asya-operator ",  # tests/node runs it
        " exec ",
        "asya send",
        "asya peek",
        "asya dlq",
    ),
    *("asya report", "asya wait", "asya completion", "asya pause", "asya resume"),
)
"""Words of commands that do not end by themselves, need running pods, or leave the shared actor paused."""


@dataclass(frozen=True)
class Block:
    """A fenced part of a page."""

    page: str
    language: str
    text: str


def blocks(language: str) -> list[Block]:
    """All fenced parts in a language, with the files that they include."""
    parts = []
    for page in PAGES:
        for kind, text in FENCE.findall(page.read_text()):
            if kind == language:
                whole = SNIPPET.sub(lambda m: (ROOT / m[1]).read_text(), text)
                parts.append(Block(str(page.relative_to(ROOT)), language, whole))
    return parts


def commands() -> list[tuple[str, str]]:
    """Each command after a ``$`` or in a sentence, with its page."""
    all_commands = []
    for block in blocks("console"):
        for line in block.text.splitlines():
            if line.startswith("$ "):
                all_commands.append((block.page, re.sub(r"\s+#.*$", "", line[2:])))
    for page in PAGES:
        prose = FENCE.sub("", page.read_text())
        all_commands += [(str(page.relative_to(ROOT)), command) for command in INLINE.findall(prose)]
    # A command on several pages is tested once.
    return [(page, command) for command, page in {command: page for page, command in reversed(all_commands)}.items()]


def of(tool: str) -> list[tuple[str, str]]:
    """The commands of one tool."""
    return [(page, command) for page, command in commands() if shlex.split(command)[0] == tool]


FILES = ("AdmissionConfiguration", "WebhookAdmissionConfiguration", "Config")
"""Kinds of files for API servers that are not objects. The client certificates' cluster test uses them."""
RELEASED = ("kubectl krew install", "-f install.yaml")
"""Commands for the files of ``make release``, which tests/chart/test_chart.py tests."""


def test_there_are_commands_and_pages() -> None:
    assert len(commands()) > 40
    assert len(PAGES) > 14


def test_the_manual_builds_without_a_warning(tmp_path: Path) -> None:
    # With --quiet mkdocs counts no warnings, and --strict has no effect.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    assert (tmp_path / "troubleshooting" / "index.html").exists()


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.page)
def test_every_yaml_is_valid(block: Block) -> None:
    for document in yaml.safe_load_all(block.text):
        if document is None:
            continue
        if "kind" not in document:
            if set(document) == {"spec"}:
                document = {**actor("a"), "spec": {**actor("a")["spec"], **document["spec"]}}
            else:
                assert Helm().template(document), "values of the chart"
                continue
        if document["kind"] == "AsyncActor":
            document["metadata"].setdefault("namespace", "default")
            assert validate(document, SidecarDefaults())[0] == []
        elif document["kind"] not in FILES:
            kubernetes_validate.validate(document, "1.36", strict=True)


@pytest.mark.parametrize(("page", "command"), of("make"))
def test_every_target_of_make_exists(page: str, command: str) -> None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for word in shlex.split(command)[1:]:
        assert "=" in word or word in targets, f"{page}: {command}"


def _parses(words: list[str]) -> None:
    """Parse the arguments of the operator's command line, without running it."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("asya-operator", [], resilient_parsing=True)
    words = [word for word in words if word != "--help"]  # it would end the parsing
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, f"there is no {words[0]}"
        command = command.commands[words.pop(0)]
    # In a sentence, a command without arguments stands for the command in general.
    command.make_context(command.name, words, parent=context, resilient_parsing=not words)


def _needs_more(name: str, command: str) -> bool:
    """Whether a command of the operator takes an argument that is missing."""
    ours: Any = typer.main.get_command(app)
    known = ours.commands.get(name) if command.startswith("kubectl asya") else None
    return known is not None and (hasattr(known, "commands") or any(p.required for p in known.params))


@pytest.mark.parametrize(("page", "command"), of("asya-operator"))
def test_every_command_of_the_operator_exists(page: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    _parses([word for word in shlex.split(command.partition(" > ")[0])[1:] if word != "…"])


@pytest.mark.parametrize(("page", "command"), of("helm"))
def test_every_command_of_helm_exists(page: str, command: str) -> None:
    """tests/cluster/test_release.py tests that they do what the manual says."""
    words = shlex.split(command)[1:]
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    verb = next(word for word in words if not word.startswith("-"))
    message = subprocess.run([str(binary("helm")), verb, "--help"], capture_output=True, text=True, check=True).stdout
    for option in options:
        assert f"{option} " in message or f"{option}\n" in message, f"{page}: {option}"


@pytest.fixture(scope="module")
def furnished(cluster: Cluster, _operator: Operator) -> Iterator[Space]:
    """A namespace with the objects that the pages mention."""
    _operator.heal()
    with Space.create(cluster.client(), f"manual-{cluster.name}") as space:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rabbitmq", "namespace": space.name}}
        space.client.apply(SECRETS, {**secret, "data": {"password": "cA=="}}, manager="kubectl")
        yield space


def _fill(command: str) -> str:
    """A command with names in place of its words in capitals."""
    return re.sub(r"\b(NAME|ACTOR)\b", "text-processor", re.sub(r"\bX\b", "web", command))


@pytest.mark.parametrize(("page", "command"), of("kubectl"))
def test_every_command_of_kubectl_runs(furnished: Space, cluster: Cluster, page: str, command: str) -> None:
    """Run kubectl's commands on a cluster with the objects of the pages. Commands without an end are only parsed."""
    space = furnished
    if page in FOLLOWED:
        pytest.skip(FOLLOWED[page])
    if cluster.real != ("can-i" in command):
        pytest.skip("on the sandbox, but for rights, which it does not check")
    if command.startswith("kubectl asya"):
        _parses(shlex.split(_fill(command))[2:])
    if any(word in command for word in (*FOLLOWS, *RELEASED)) or "…" in command:
        return
    spoken = shlex.split(command)[2:]
    if not any(not word.startswith("-") for word in spoken) or (len(spoken) == 1 and _needs_more(spoken[0], command)):
        command += " --help"  # in a sentence, it stands for the command in general
    space.apply(example("rabbitmq-deployment"))
    web = yaml.safe_load((ROOT / "examples" / "web.yaml").read_text())
    space.apply(web)
    space.patch("Deployment", "web", {"metadata": {"labels": None}})
    space.apply(yaml.safe_load((ROOT / "examples" / "own-deployment.yaml").read_text()))
    space.wait_condition("text-processor", "Ready", "True")
    words = shlex.split(_fill(command))[1:]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "KUBECONFIG": str(_kubeconfig(cluster, space)), "PATH": path}
    run = [str(binary("kubectl")), *words]
    if "delete" in words and any(word == "namespace" or "webhookconfiguration" in word for word in words):
        run.append("--dry-run=server")  # the operator of these tests needs them
    if "create secret" in command:
        run.append("--dry-run=client")  # the object exists already
    completed = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=90)
    allowed = (0, 1) if "doctor" in words else (0,)
    assert completed.returncode in allowed, f"{page}: {command}\n{completed.stdout}{completed.stderr}"


def _kubeconfig(cluster: Cluster, space: Space) -> Path:
    """The cluster's kubeconfig, with this namespace as its default."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = space.name
    path = cluster.directory / f"kubeconfig-{space.name}"
    path.write_text(yaml.safe_dump(config))
    return path
