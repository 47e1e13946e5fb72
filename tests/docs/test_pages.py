"""Commands of pages that readers follow on a cluster print what the pages show, and generated files are current."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from release.binaries import binary
from tests.docs import drawings, llms
from tests.docs.test_manual import _kubeconfig
from tests.docs.transcript import Step, compare, files_of, follow, part, steps_of, text_of
from tests.golden import CASES
from tests.harness.clusters import ROOT, Cluster
from tests.harness.helm import Helm
from tests.harness.space import Space

LABEL = "docs/quickstart-label.md"


@pytest.mark.best_tier
def test_a_deployment_is_labelled_and_restored_as_the_page_shows(
    space: Space, cluster: Cluster, tmp_path: Path
) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), str(binary("kubectl").parent), os.environ["PATH"]])
    environment = {**os.environ, "KUBECONFIG": str(_kubeconfig(cluster, space)), "PATH": path}
    text = text_of(LABEL)
    (create, *label), labelled, take_off = (
        steps_of(part(name, text)) for name in ("label", "while labelled", "take off")
    )
    template = f"kubectl get deployment web -o jsonpath='{{.spec.template}}' >{tmp_path}"
    before, after = Step(f"{template}/before", ()), Step(f"{template}/after", ())
    ready = Step("kubectl wait asya/web --for=condition=Ready --timeout=30s", ())
    follow([create, before, *label, ready, *labelled, *take_off, after], ROOT, environment)
    assert (tmp_path / "after").read_text() == (tmp_path / "before").read_text()


@pytest.mark.parametrize("name", drawings.DRAWINGS)
def test_the_drawings_are_current(name: str) -> None:
    drawn = drawings.DRAWINGS[name]().svg()
    assert (ROOT / "docs/pictures" / name).read_text() == drawn, "run: python -m tests.docs.drawings"


TASKS = [page for title, pages in llms.navigation().items() if title in llms.READERS for page in pages.values()]


@pytest.mark.parametrize("page", TASKS)
def test_a_page_for_a_task_begins_with_a_command_and_ends_with_its_output(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    introduction = text.partition("\n## ")[0]
    assert "```console\n$ " in introduction, "its first part has no command"
    titles = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert "What you see at the end" in titles[-2:], titles


def test_the_readme_counts_the_golden_files() -> None:
    assert f"\n  {len(CASES)} workloads" in (ROOT / "README.md").read_text()


def test_every_page_is_in_the_navigation() -> None:
    listed = {page for pages in llms.navigation().values() for page in pages.values()}
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_llms_txt_is_current() -> None:
    assert llms.PATH.read_text() == llms.text(), "run: make generate"


def test_the_table_of_other_names_is_that_of_the_chart() -> None:
    text = text_of("docs/upgrading.md")
    rows = re.findall(r"^\| .*`asya-operator.* \| (`actors.*) \|$", text, re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert len(names) == 5
    objects = Helm().template({"fullnameOverride": "actors"})
    made = {str(obj["metadata"]["name"]) for obj in objects}
    words = set(re.findall(r"[a-z-]+", json.dumps(objects)))  # the controller creates the Secrets
    assert names - words == set()
    assert {name for name in made if name.startswith("asya-operator")} == set()


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_each_version_of_the_manual_has_its_folder(tmp_path: Path) -> None:
    """``make docs-version`` commits to the branch gh-pages. This test uses an empty repository."""
    identity = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **identity}
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True, env=environment)
    command = ["git", "-C", str(tmp_path), "commit", "--quiet", "--allow-empty", "--message", "empty"]
    subprocess.run(command, check=True, env=environment)
    environment["GIT_DIR"] = str(tmp_path / ".git")
    made = subprocess.run(
        ["make", "docs-version"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert made.returncode == 0, made.stdout + made.stderr
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "gh-pages"], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    version = llms.version().rpartition(".")[0]
    for name in ("index.html", "search/search_index.json", "llms.txt", "pictures/parts.svg"):
        assert f"{version}/{name}" in listed
    assert {"index.html", "versions.json", "latest"} <= {name.partition("/")[0] for name in listed}


def test_a_transcript_is_compared_line_by_line() -> None:
    shown = ("NAME   AGE", "a      4s", "…", "done …")
    assert compare(shown, ["NAME AGE", "a 1m12s", "b 1s", "c 2s", "done now"]) == ""
    assert compare(shown, ["NAME AGE", "a 1m12s", "done now"]) == ""
    assert "it prints" in compare(shown, ["NAME AGE", "b 4s", "done now"])
    assert compare(("one", "…"), ["one", "two"]) == ""
    assert "it prints" in compare(("one",), ["one", "two"])


def test_a_page_has_files_and_steps() -> None:
    text = "Save this as `a.json`:\n\n```json\n1\n```\n\n```console\n$ cat a.json  # it\n1\n$ true\n```\n"
    assert files_of(text) == {"a.json": "1\n"}
    assert [(step.command, step.output) for step in steps_of(text)] == [("cat a.json", ("1",)), ("true", ())]
