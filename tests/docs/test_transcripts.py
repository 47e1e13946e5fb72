"""The transcripts of the README and of the page for contributors, command by command."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from release.binaries import binary
from tests.docs.transcript import Step, follow, part, steps_of, text_of
from tests.harness.clusters import ROOT
from tests.harness.kubelet import running
from tests.harness.operator import install_keda
from tests.harness.release import Release

CLONABLE = shutil.which("git") is not None and (ROOT / ".git").exists()


def steps(title: str, page: str = "README.md") -> list[str]:
    """The commands under a title that only the source of a page has."""
    match = re.search(rf"<!-- {title} -->\n```console\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert match is not None
    return [line[2:] for line in match[1].splitlines() if line.startswith("$ ")]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Environment variables with kubectl, helm and the operator's commands on the path."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("kubectl", "helm"):
        (tools / name).symlink_to(binary(name))
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    git = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    return {**os.environ, **git, "PATH": path, "HELM_CACHE_HOME": str(tmp_path), "HELM_CONFIG_HOME": str(tmp_path)}


@pytest.fixture
def home(tmp_path: Path, environment: dict[str, str]) -> Iterator[Path]:
    """An empty directory. Processes that were started in it are stopped."""
    place = tmp_path / "home"
    place.mkdir()
    yield place
    clone = place / "asya-operator"
    if clone.exists():
        subprocess.run(["make", "sandbox-stop"], cwd=clone, env=environment, check=True)


@pytest.mark.skipif(not CLONABLE, reason="no git, or this is no clone of the repository")
def test_from_a_clone_to_an_injected_deployment_to_green_tests_to_a_change(
    home: Path, environment: dict[str, str]
) -> None:
    """The page for contributors. Its steps in the sandbox are those of the README."""
    text = text_of("docs/develop.md")
    first, green, change = (steps_of(part(title, text)) for title in ("first deployment", "green tests", "a change"))
    assert [step.command for step in first][:-1] == steps("four commands")
    # Installing the requirements of `make sandbox` takes one or two minutes. CI does it before its tests.
    ready = f"ln -s {Path(sys.prefix)} .venv && touch .venv/.ready"
    clone = Step(f"git clone --quiet {ROOT} asya-operator && cd asya-operator && {ready}", ())
    seconds = follow([clone, *first, *green, *change], home, environment)
    injected, tested = 1 + len(first), 1 + len(first) + len(green)
    print(f"\nclone to first injected Deployment: {sum(seconds[:injected]):.1f} s")
    print(f"green tests: {sum(seconds[injected:tested]):.1f} s; a change: {sum(seconds[tested:]):.1f} s")


def test_from_a_cluster_to_the_first_actor_in_three_commands(
    tmp_path: Path, environment: dict[str, str], tier: str
) -> None:
    """With the output of the pages for platform engineers."""
    # Threads act as kubelet and KEDA: an actor is ready after its pods are ready and KEDA has handled it.
    with running(tmp_path / "cluster", real=tier != "sandbox") as cluster:
        release = Release(cluster, tmp_path / "release")
        environment["KUBECONFIG"] = str(cluster.kubeconfig)
        try:
            install_and_apply(release, environment)
            follow([*steps_on("certificates"), *steps_on("quickstart-platform", "check")], ROOT, environment)
            if not cluster.real:  # on a real one a kubelet would have to run the hooks: tests/cluster/test_release.py
                follow([*steps_on("uninstalling", "uninstall"), *steps_on("uninstalling", "after")], ROOT, environment)
        finally:
            release.stop()


def steps_on(page: str, title: str = "") -> list[Step]:
    """The steps in a part of a page; the part has the page's name if it has no title of its own."""
    return steps_of(part(title or page, text_of(f"docs/{page}.md")))


def install_and_apply(release: Release, environment: dict[str, str]) -> None:
    """Run the three commands, and wait for the actor."""
    commands = steps("three commands")
    (install,) = steps_on("quickstart-platform", "install")
    assert install.command == commands[0]
    # The processes run on this host, so the chart gets the webhook's URL as a value.
    url = f"--set webhook.url=https://127.0.0.1:{release.balancer.port}"
    install_keda(release.client)
    secret = Step("kubectl create secret generic rabbitmq --from-literal=password=asya", ())
    follow([Step(f"{install.command} {url}", install.output), secret, Step(commands[1], ())], ROOT, environment)
    release.start_controller()
    release.start_webhook()
    ready = Step("kubectl wait asya/text-processor --for=condition=Ready --timeout=30s", ())
    follow([ready, Step(commands[2], ("NAME …", "text-processor Napping True Deployment …"))], ROOT, environment)
