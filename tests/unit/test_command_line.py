"""A command that cannot do what it is asked for says so in a sentence that names what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.harness.clusters import ROOT, free_port
from tests.harness.space import EXAMPLES

WEB, ACTOR = str(EXAMPLES / "web.yaml"), str(EXAMPLES / "rabbitmq-deployment.yaml")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration names a cluster."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["status"], 1, "error: no cluster to ask"),
        (["explain", "a"], 1, "error: no cluster to ask"),
        (["doctor", "--kubeconfig", "/tmp"], 1, "no cluster to ask: /tmp is no kubeconfig: [Errno 21] Is a directory"),
        (["doctor", "--kubeconfig", str(ROOT / "README.md")], 1, "is no kubeconfig: "),
        (["release"], 2, "error: --all is required"),
        (["release", "--all"], 1, "error: no cluster to ask"),
        (["certs", "show"], 1, "error: no cluster to ask"),
        (["certs", "issue", "/proc/none", "--name", "a"], 1, "error: /proc/none: cannot be written"),
        (["inject", "-f", WEB, "--output", "xml"], 2, "must be yaml or json; found 'xml'"),
        (["uninject", "-f", "/none"], 1, "error: /none: cannot be read"),
        (["render", "-f", ACTOR, "--runtime-script", "/none"], 1, "error: --runtime-script: /none cannot be read"),
        (["render", "-f", str(EXAMPLES / "invalid.yaml")], 1, "error: "),
        (["render", "-f", WEB], 0, "Warning: there is no AsyncActor in the files"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(arguments: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code
    assert message in result.stderr


@pytest.mark.parametrize("process", [["controller"], ["webhook", "--bind", "127.0.0.1:1"]])
def test_a_process_without_a_cluster_ends_and_says_why(process: list[str]) -> None:
    command = [sys.executable, "-m", "cli", *process, "--metrics-port", str(free_port())]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "no cluster to ask: Invalid kube-config file. No configuration found. Set KUBECONFIG" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
