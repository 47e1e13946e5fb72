"""The commands that other tools run: a diff for CI, a hook that changes files, a KRM function for kustomize."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from files.reading import split
from tests.files import kubectl
from tests.golden import ACTORS, SCRIPT
from tests.harness.clusters import ROOT

EXAMPLE = ROOT / "examples" / "kustomize"
API_VERSIONS = {"Deployment": "apps/v1", "Pod": "v1", "CronJob": "batch/v1"}
DEPLOYMENT = (
    "# of the shop\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {asya.io/actor: text}}\n"
    "spec:\n  template:\n    spec:\n      containers:\n      - name: runtime\n"
)


def kustomize() -> str:
    """The path of kustomize, or None. The kustomize inside kubectl cannot run programs."""
    return shutil.which("kustomize") or ""


def run(*arguments: str, stdin: str = "") -> Any:
    result = CliRunner().invoke(app, list(arguments), input=stdin, env={"ASYA_RUNTIME_LOCAL_PATH": str(SCRIPT)})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_diff_shows_additions_and_exits_with_1(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("a: 1\n---\n" + DEPLOYMENT)
    done = run("diff", "-f", str(file), "--actor", str(ACTORS))
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"--- {file}", f"+++ {file} (injected)"]
    assert "+      - name: sidecar" in lines
    assert not [line for line in lines[2:] if line.startswith("-")]
    first = next(line for line in lines if line.startswith("@@"))
    assert first.startswith("@@ -8,"), "line numbers must count from the start of the file"
    assert "\x1b[32m+" in run("diff", str(file), "--actor", str(ACTORS), "--color").stdout


def test_diff_of_an_injected_file_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(DEPLOYMENT)
    assert run("inject", "--in-place", "--actor", str(ACTORS), "-f", str(file)).stdout == ""
    assert "name: sidecar" in file.read_text()
    done = run("diff", "-f", str(file), "--actor", str(ACTORS))
    assert (done.exit_code, done.stdout) == (0, "")


def test_the_hooks_use_commands_that_take_files(tmp_path: Path) -> None:
    for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()):
        file = tmp_path / f"{hook['id']}.yaml"
        file.write_text(DEPLOYMENT)
        command = hook["entry"].split()
        assert command[0] == "asya-operator"
        done = run(*command[1:], "--actor", str(ACTORS), str(file))
        assert done.exit_code == int("diff" in command), done.stderr


def test_standard_input_cannot_be_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("inject", "--in-place", "--actor", str(ACTORS), "-f", "-", stdin=DEPLOYMENT)
    assert (done.exit_code, done.stdout, list(tmp_path.iterdir())) == (1, "", [])
    assert "--in-place: standard input" in done.stderr


@pytest.mark.parametrize("command", ["inject", "diff"])
def test_a_command_without_files_reports_it(command: str) -> None:
    done = run(command)
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "no files" in done.stderr


def test_nothing_is_written_if_one_document_is_bad(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(DEPLOYMENT)
    bad.write_text("a: 1\na: 2\n")
    done = run("inject", "--in-place", "--actor", str(ACTORS), str(good), str(bad))
    assert (done.exit_code, good.read_text()) == (1, DEPLOYMENT)


def test_a_krm_function_injects_the_items_of_a_resource_list() -> None:
    actor = (EXAMPLE / "actor.yaml").read_text()
    objects = [*split(actor), *split((EXAMPLE / "deployment.yaml").read_text())]
    items = "".join("- " + d.text.replace("\n", "\n  ").rstrip(" ") for d in objects if d.root is not None)
    text = f"apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n{items}"
    done = run("krm", stdin=text)
    assert done.exit_code == 0, done.stderr
    workload = yaml.safe_load(done.stdout)["items"][1]
    assert workload["spec"]["template"]["spec"]["containers"][0]["name"] == "sidecar"
    assert run("krm", stdin="a: 1\n").exit_code == 1


@pytest.mark.skipif(bool(kubectl.why_not()), reason=kubectl.why_not())
def test_the_kustomize_example(tmp_path: Path) -> None:
    """kubectl's kustomize builds the resources. Only kustomize itself runs functions that are programs."""
    for name in ("actor.yaml", "deployment.yaml"):
        (tmp_path / name).write_text((EXAMPLE / name).read_text())
    whole = yaml.safe_load((EXAMPLE / "kustomization.yaml").read_text())
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": whole["resources"]}))
    command = tmp_path / "asya-operator"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m cli "$@"\n')
    command.chmod(0o755)
    built = subprocess.check_output([str(kubectl.path()), "kustomize", str(tmp_path)], text=True)
    listed = {
        "apiVersion": "config.kubernetes.io/v1",
        "kind": "ResourceList",
        "items": list(yaml.safe_load_all(built)),
        "functionConfig": yaml.safe_load((EXAMPLE / whole["transformers"][0]).read_text()),
    }
    function = yaml.safe_load(listed["functionConfig"]["metadata"]["annotations"]["config.kubernetes.io/function"])
    script = EXAMPLE / function["exec"]["path"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([script], input=yaml.safe_dump(listed), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    made = {o["kind"]: o for o in yaml.safe_load(done.stdout)["items"]}
    assert [c["name"] for c in made["Deployment"]["spec"]["template"]["spec"]["containers"]] == ["sidecar", "runtime"]


@pytest.mark.skipif(not kustomize(), reason="there is no kustomize on the PATH")
def test_the_kustomize_example_with_kustomize(tmp_path: Path) -> None:
    """The whole example, built by kustomize itself."""
    command = tmp_path / "asya-operator"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m cli "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    arguments = [kustomize(), "build", "--enable-alpha-plugins", "--enable-exec", str(EXAMPLE)]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    made = {o["kind"]: o for o in yaml.safe_load_all(done.stdout)}
    assert [c["name"] for c in made["Deployment"]["spec"]["template"]["spec"]["containers"]] == ["sidecar", "runtime"]
    assert "AsyncActor" in made


@pytest.mark.parametrize("result", ["x", "[a]", "5", "true"])
@pytest.mark.parametrize("command", ["inject", "diff", "render", "uninject"])
def test_metadata_and_specs_of_any_type_cause_no_traceback(command: str, result: str, tmp_path: Path) -> None:
    file, more = tmp_path / "web.yaml", ["--actor", str(ACTORS)] if command in ("inject", "diff") else []
    label = "labels: {asya.io/actor: text}"
    for kind in ("Deployment", "Pod", "CronJob"):
        file.write_text(f"apiVersion: {API_VERSIONS[kind]}\nkind: {kind}\nmetadata: {result}\n")
        assert run(command, "-f", str(file), *more).exit_code == 0
    file.write_text(f"apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: web, {label}}}\nspec: {result}\n")
    assert run(command, "-f", str(file), *more).exit_code == 0
    if command == "uninject":
        return
    file.write_text(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: [a], {label}}}\n")
    refused = run(command, "-f", str(file), *more)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "metadata.namespace: must be a string; found a list" in refused.stderr
    file.write_text(f"apiVersion: asya.io/v1alpha1\nkind: AsyncActor\nmetadata: {result}\n")
    refused = run(command, "-f", str(file))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "AsyncActor: metadata: must be an object; found" in refused.stderr
