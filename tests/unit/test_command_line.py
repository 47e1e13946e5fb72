"""A command that fails prints one sentence that names the problem. Grouped options become a command's own options."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.broker import Where
from cli.main import app
from cli.options import InjectionOptions, grouped
from tests.harness.clusters import ROOT, free_port
from tests.harness.space import EXAMPLES

WEB, ACTOR = str(EXAMPLES / "web.yaml"), str(EXAMPLES / "rabbitmq-deployment.yaml")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove every configuration that names a cluster."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["status"], 1, "error: no cluster to connect to"),
        (["explain", "a"], 1, "error: no cluster to connect to"),
        (
            ["doctor", "--kubeconfig", "/tmp"],
            1,
            "no cluster to connect to: /tmp is not a kubeconfig: [Errno 21] Is a directory",
        ),
        (["doctor", "--kubeconfig", str(ROOT / "README.md")], 1, "is not a kubeconfig: "),
        (["release"], 2, "error: --all is required"),
        (["release", "--all"], 1, "error: no cluster to connect to"),
        (["certs", "show"], 1, "error: no cluster to connect to"),
        (["certs", "issue", "/proc/none", "--name", "a"], 1, "error: /proc/none: cannot be written"),
        (["inject", "-f", WEB, "--output", "xml"], 2, "must be yaml or json; found 'xml'"),
        (["uninject", "-f", "/none"], 1, "error: /none: cannot be read"),
        (["render", "-f", ACTOR, "--runtime-script", "/none"], 1, "error: --runtime-script: /none cannot be read"),
        (["render", "-f", str(EXAMPLES / "invalid.yaml")], 1, "error: "),
        (["render", "-f", WEB], 0, "Warning: there is no AsyncActor in the files"),
    ],
)
def test_a_failing_command_prints_one_sentence(arguments: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code
    assert message in result.stderr


@pytest.mark.parametrize("process", [["controller"], ["webhook", "--bind", "127.0.0.1:1"]])
def test_a_process_without_a_cluster_reports_it_and_ends(process: list[str]) -> None:
    command = [sys.executable, "-m", "cli", *process, "--metrics-port", str(free_port())]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "no cluster to connect to: Invalid kube-config file. No configuration found. Set KUBECONFIG" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_a_group_fills_its_fields_from_options() -> None:
    results: list[tuple[str, InjectionOptions]] = []

    @grouped
    def command(name: str, *, options: InjectionOptions) -> None:
        results.append((name, options))

    program = typer.Typer()
    program.command()(command)
    assert CliRunner().invoke(program, ["a", "-n", "x", "--no-native-sidecars"]).exit_code == 0
    assert results == [("a", InjectionOptions("x", None, False))]


def test_a_parameter_of_the_command_replaces_the_option_of_a_group() -> None:
    results: list[tuple[str, Where]] = []

    @grouped
    def command(namespace: str = "own", *, where: Where) -> None:
        results.append((namespace, where))

    program = typer.Typer()
    program.command()(command)
    assert CliRunner().invoke(program, ["--local"]).exit_code == 0
    assert results == [("own", Where("own", local=True))]
    assert CliRunner().invoke(program, ["-n", "x"]).exit_code == 2


def test_a_process_imports_no_other_command_and_no_library_for_terminals() -> None:
    """Each of these modules would take memory for the life of the process."""
    others = ("cli.main", "cli.plugin", "rich", "asyncio", "yaml", "flask", "kubernetes")
    imports = "import sys, cli.__main__, cli.processes, controller.process, webhook.server"
    code = f"{imports}; print([module for module in {others} if module in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
