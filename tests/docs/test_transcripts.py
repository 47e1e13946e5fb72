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
from tests.harness.clusters import ROOT, Cluster, wait_for
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
    follow([clone, *first, *green, *change], home, environment)


def test_from_a_cluster_to_the_first_actor_in_three_commands(
    tmp_path: Path, environment: dict[str, str], tier: str
) -> None:
    """The processes run on this host, so the chart gets the webhook's URL as a value."""
    commands = steps("three commands")
    assert len(commands) == 3
    # Threads act as kubelet and KEDA: an actor is ready after its pods are ready and KEDA has handled it.
    with running(tmp_path / "cluster", real=tier != "sandbox") as cluster:
        install_and_apply(commands, cluster, tmp_path, environment)


def install_and_apply(commands: list[str], cluster: Cluster, tmp_path: Path, environment: dict[str, str]) -> None:
    """Run the three commands, and wait for the actor."""
    release = Release(cluster, tmp_path / "release")
    environment["KUBECONFIG"] = str(cluster.kubeconfig)

    def run(command: str) -> str:
        ran = subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    try:
        install_keda(release.client)
        run(f"{commands[0]} --set webhook.url=https://127.0.0.1:{release.balancer.port}")
        run(commands[1])
        release.start_controller()
        release.start_webhook()

        def table() -> list[str]:
            return run(commands[2]).split()

        wait_for("the actor", lambda: table()[table().index("text-processor") + 2] == "True")
    finally:
        release.stop()
