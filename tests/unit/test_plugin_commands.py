"""The plugin's commands that need no cluster: lint, completion, errors of the others, and merged logs."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli import completion
from cli.completion import SCRIPTS, candidates_of
from cli.main import app
from messages.logs import NoLogs, containers_of, read
from tests.harness.space import EXAMPLES, actor


def invoke(*arguments: str, stdin: str | None = None) -> Any:
    """Run a command in this process."""
    return CliRunner().invoke(app, list(arguments), input=stdin)


def linted(tmp_path: Path, *objects: Any) -> tuple[int, list[dict[str, str]]]:
    """Exit code and findings for files."""
    file = tmp_path / "objects.yaml"
    file.write_text("---\n".join(yaml.safe_dump(obj) for obj in objects))
    result = invoke("lint", "-f", str(file), "-o", "json")
    return result.exit_code, json.loads(result.stdout)


def test_good_files_have_no_errors() -> None:
    result = invoke("lint", "-f", str(EXAMPLES / "rabbitmq-deployment.yaml"))
    assert result.exit_code == 0
    assert "1 actors: 0 errors" in result.stderr


def test_lint_reports_denials_of_admission(tmp_path: Path) -> None:
    taken = {"name": "sidecar", "image": "other"}
    broken = actor("broken", transport={"type": "rabbitmq"})
    clash = actor("clash")
    clash["spec"]["workload"]["template"]["spec"]["containers"].append(taken)
    code, findings = linted(
        tmp_path, broken, clash, {**actor("typo"), "spec": {**actor("typo")["spec"], "scalling": {}}}
    )
    assert code == 1
    messages = [f"{f['level']}: {f['message']}" for f in findings]
    assert any(
        "error:" in m and "'broken': spec.transport.rabbitmq: required when type is rabbitmq" in m for m in messages
    )
    assert any("error:" in m and "'clash'" in m and "sidecar" in m for m in messages)
    assert any("warning:" in m and "spec.scalling: an AsyncActor has no such field" in m for m in messages)


def test_lint_reports_problems_of_the_status(tmp_path: Path) -> None:
    elsewhere = actor("a", queueName="other", sidecar={"image": "ghcr.io/deliveryhero/asya-sidecar:1.1.3"})
    code, findings = linted(tmp_path, elsewhere)
    assert code == 1
    assert any("QueueMismatch: spec.queueName is 'other'" in f["message"] for f in findings)
    borrows = actor("web", workload={"name": "web"})
    code, findings = linted(tmp_path, borrows)
    assert (code, findings[-1]["level"]) == (0, "warning")
    assert "there is no Deployment 'web' in the files" in findings[-1]["message"]
    web = yaml.safe_load((EXAMPLES / "web.yaml").read_text())
    web["metadata"].pop("labels", None)
    code, findings = linted(tmp_path, borrows, web)
    assert code == 1
    assert "kubectl label deployment web asya.io/actor=web" in findings[-1]["message"]


def test_strict_counts_warnings(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(actor("web", workload={"name": "web"})))
    assert invoke("lint", "-f", str(file)).exit_code == 0
    assert invoke("lint", "-f", str(file), "--strict").exit_code == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dl"], ["dlq"]),
        (["dlq", ""], ["drop", "list", "replay", "show"]),
        (["dlq", "re"], ["replay"]),
        (["send", "a", "--loc"], ["--local"]),
        (["send", "--timeout", "pe"], []),
        (["send", "--local", "pear"], ["pear"]),
        (["peek", "-n", "5", ""], ["peach", "pear"]),
        (["dlq", "list", "pea"], ["peach", "pear"]),
        (["complet"], ["completion"]),
        (["logs", "pear", ""], []),
    ],
)
def test_completion(words: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "complete_actor", lambda text: [n for n in ("peach", "pear") if n.startswith(text)])
    assert [value for value, _ in candidates_of(app, words)] == expected


def test_the_output_for_kubectl_is_cobras() -> None:
    result = invoke("complete", "--", "dlq", "li")
    assert result.stdout == "list\tList failed messages\n:4\n"
    assert invoke("complete", "--", "send", "--filename", "").stdout == ":0\n"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_for_each_shell(shell: str) -> None:
    script = invoke("completion", shell).stdout
    assert "complete -- " in script
    if shell == "bash":
        check = "COMP_WORDS=(asya-operator dlq re); COMP_CWORD=2; _asya_operator; echo ${COMPREPLY[@]}"
        fake = "asya-operator() { echo \"$@\" >&2; printf 'replay\\tSend\\n:4\\n'; }"
        ran = subprocess.run(
            ["bash", "-c", f"{fake}\n{script}\n{check}"], capture_output=True, text=True, env=os.environ, check=True
        )
        assert ran.stdout == "replay\n"
    assert invoke("completion", "tcsh").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["send", "a", "-f", "/none"], 1, "/none: cannot be read"),
        (["send", "a", "-f", "-", "--header", "x"], 2, "--header: must be name=value; found 'x'"),
        (["peek", "a", "-o", "xml"], 2, "--output: must be json or left out; found 'xml'"),
        (["dlq", "drop", "a"], 2, "--yes: required without a terminal"),
        (["wait", "a", "--for", "luck"], 2, "--for: must be condition=NAME"),
        (["doctor", "-o", "xml"], 2, "--output: must be json"),
        (["peek", "a"], 1, "no cluster to connect to"),
        (["logs", "a"], 1, "no cluster to connect to"),
        (["report"], 1, "no cluster to connect to"),
    ],
)
def test_a_failing_command_prints_one_sentence(
    arguments: list[str], code: int, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    result = invoke(*arguments, stdin="1")
    assert (result.exit_code, text in result.stderr) == (code, True), result.stderr


# -- logs --------------------------------------------------------------------------------------------


def pod(name: str, *containers: str, native: str = "") -> Any:
    """A pod."""
    init = [{"name": native, "restartPolicy": "Always"}, {"name": "setup"}] if native else []
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": c} for c in containers], "initContainers": init},
    }


class Logs:
    """A client with prepared pods and logs."""

    def __init__(self, pods: list[Any], logs: dict[tuple[str, str], list[bytes]]) -> None:
        self._pods, self._logs = pods, logs

    def list(self, *_: Any, **__: Any) -> list[Any]:
        """The pods."""
        return self._pods

    def request(self, _method: str, path: str, *, query: dict[str, str], **_: Any) -> Any:
        """The log."""
        lines = self._logs[path.split("/")[-2], query["container"]]
        return type("Response", (list,), {"close": lambda self: None})(lines)


def test_logs_of_all_pods_are_merged_by_time() -> None:
    client: Any = Logs(
        [pod("p", "sidecar", "app"), pod("q", "sidecar", "app")],
        {
            ("p", "app"): [b"2026-01-01T00:00:01Z one\n", b"2026-01-01T00:00:04Z four\n"],
            ("q", "app"): [b"2026-01-01T00:00:02Z two\n"],
            ("p", "sidecar"): [b"2026-01-01T00:00:03Z three: \xff\n"],
            ("q", "sidecar"): [],
        },
    )
    assert [line.text for line in read(client, "n", "a")] == ["one", "two", "three: �", "four"]
    runtime = list(read(client, "n", "a", container="runtime"))
    assert [(line.pod, line.container, line.text) for line in runtime] == [
        ("p", "app", "one"),
        ("q", "app", "two"),
        ("p", "app", "four"),
    ]
    with pytest.raises(NoLogs, match="no pod of 'a' has a container 'none'"):
        list(read(client, "n", "a", container="none"))
    nothing: Any = Logs([], {})
    with pytest.raises(NoLogs, match="has no pods"):
        list(read(nothing, "n", "a"))


def test_the_selected_containers() -> None:
    job = pod("p", "work", native="sidecar")
    assert containers_of(job) == ["sidecar", "work"]
    assert containers_of(job, "runtime") == ["work"]
    assert containers_of(job, "sidecar") == ["sidecar"]
    both = {**pod("p", "sidecar", "x", "y")}
    both["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "y"}
    assert containers_of(both, "runtime") == ["y"]
