"""The runtime script with messages of the frames generations."""

import ast
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from runtime import SCRIPT
from tests.harness.script import FRAMES_ROUTE, Script, interpreters

HANDLERS = """
class Counter:
    def __init__(self):
        self.n = 0
    def count(self, payload):
        self.n += 1
        return {"n": self.n}

def echo(payload): return payload
def none(payload): return None
def many(payload): return [1, 2]
def gen(payload):
    yield 1
    yield
    yield 2
async def agen(payload):
    yield 1
    yield 2
def command(payload):
    yield ("GET", ".id")
async def later(payload): return {"later": payload}
def fail(payload): raise ValueError("no good")
def leave(payload): raise SystemExit(3)
def nan(payload): return float("nan")
def unserialisable(payload): return object()
def interrupted(payload): raise KeyboardInterrupt
def slow(payload):
    import time
    time.sleep(0.5)
    return payload
def envelope(message): return {**message, "payload": "changed"}

def any(payload):
    name, argument = payload
    return globals()[name](argument)
"""


def test_the_script_is_small_and_valid_for_every_python_from_3_7() -> None:
    text = SCRIPT.read_text()
    ast.parse(text, feature_version=(3, 7))
    assert len(text.encode()) < 64 * 1024


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One script for many messages, so that effects of one message on the next appear."""
    script = Script(tmp_path_factory.mktemp("frames"), HANDLERS, "handlers.any", ASYA_SOCKET_MAX_SIZE="10000000")
    yield script
    script.kill()


@pytest.mark.parametrize(
    ("handler", "payloads"),
    [
        ("echo", [{"x": "é"}]),
        ("none", []),
        ("many", [1, 2]),
        ("gen", [1, 2]),
        ("agen", [1, 2]),
        ("later", [{"later": {"x": "é"}}]),
    ],
)
def test_payload_mode(one: Script, handler: str, payloads: list[Any]) -> None:
    onward = {"actors": ["a", "b"], "current": 1}
    answer = one.call([handler, {"x": "é"}])
    assert answer == [{"payload": p, "route": onward, "headers": {"h": 1}} for p in payloads]


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: Path(path).name)
def test_every_python_at_hand(tmp_path: Path, python: str) -> None:
    script = Script(tmp_path, HANDLERS, "handlers.any", python)
    assert script.call(["later", 1])[0]["payload"] == {"later": 1}
    assert script.call(["fail", 1])[0]["error"] == "processing_error"
    assert [frame["payload"] for frame in script.call(["agen", 1])] == [1, 2]
    assert script.post(["echo", 1])[1]["frames"][0]["payload"] == 1
    assert script.post(["fail", 1])[0] == 500
    assert script.stop() == 0


def test_a_class_is_instantiated_once(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.Counter.count")
    assert [script.call(None)[0]["payload"]["n"] for _ in range(3)] == [1, 2, 3]


def test_envelope_mode(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.envelope", ASYA_HANDLER_MODE="envelope")
    assert script.call("x") == [{"id": "1", "route": FRAMES_ROUTE, "headers": {"h": 1}, "payload": "changed"}]
    status, answer = script.post("x")
    assert (status, "ASYA_HANDLER_MODE" in answer["details"]["message"]) == (500, True)


@pytest.mark.parametrize(
    ("handler", "kind"),
    [("fail", "ValueError"), ("leave", "SystemExit"), ("interrupted", "KeyboardInterrupt"), ("command", "TypeError")],
)
def test_an_error_of_the_handler_is_an_answer_and_the_next_message_is_served(
    one: Script, handler: str, kind: str
) -> None:
    for _ in range(2):
        (answer,) = one.call([handler, "x"])
        assert answer["error"] == "processing_error"
        assert set(answer["details"]) == {"message", "type", "traceback"}
        assert answer["details"]["type"] == kind
        assert "handlers.py" in answer["details"]["traceback"]


def test_invalid_messages_are_answered(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.echo", ASYA_SOCKET_MAX_SIZE="1000")
    assert script.send(b"\xff{")[0]["error"] == "msg_parsing_error"
    assert script.send(b"[]")[0]["error"] == "msg_parsing_error"
    assert script.send(b'"' + b"x" * 2000 + b'"')[0]["error"] == "connection_error"
    assert script.call("still there")[0]["payload"] == "still there"


def test_the_link_its_mode_and_its_removal(scripts: Any, tmp_path: Path) -> None:
    script = scripts(HANDLERS, "handlers.echo", ASYA_SOCKET_CHMOD="0o600")
    assert (tmp_path / "app.sock").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "asya-runtime.sock").readlink() == Path("app.sock")
    assert script.stop() == 0
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".sock" or p.name == "runtime-ready") == []


@pytest.mark.parametrize("handler", ["nan", "unserialisable"])
def test_a_result_that_is_not_json_is_an_error(one: Script, handler: str) -> None:
    for _ in range(2):
        assert one.call([handler, "x"])[0]["error"] == "processing_error"


def test_sigterm_lets_the_message_in_hand_finish(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.slow")
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(script.call("x")))
    caller.start()
    time.sleep(0.2)
    assert script.stop() == 0
    caller.join(5)
    assert answers[0][0]["payload"] == "x"


def test_files_of_a_killed_process_do_not_matter(scripts: Any, tmp_path: Path) -> None:
    scripts(HANDLERS, "handlers.echo").stop(signal.SIGKILL)
    assert (tmp_path / "app.sock").exists()
    (tmp_path / "runtime-ready").unlink()
    assert scripts(HANDLERS, "handlers.echo").call(1)[0]["payload"] == 1


def test_large_messages(one: Script) -> None:
    text = "x" * 9 * 1024 * 1024
    assert one.call(["echo", text])[0]["payload"] == text
    assert one.post(["echo", text])[1]["frames"][0]["payload"] == text


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ASYA_HANDLER": "handlers.absent"}, ["ASYA_HANDLER", "'absent'"]),
        ({"ASYA_HANDLER": "nowhere.f"}, ["ASYA_HANDLER", "'nowhere'", "WORKDIR"]),
        ({"ASYA_HANDLER": "handlers"}, ["ASYA_HANDLER", "module.function"]),
        ({"ASYA_HANDLER": "handlers.Counter"}, ["ASYA_HANDLER", "add the name of a method"]),
        ({"ASYA_HANDLER": "broken.f"}, ["ASYA_HANDLER", "broken.py", "ZeroDivisionError"]),
        ({"ASYA_HANDLER": "lacking.f"}, ["ASYA_HANDLER", "lacking.py", "not_installed"]),
        ({"ASYA_HANDLER_MODE": "both"}, ["ASYA_HANDLER_MODE", "'both'", "envelope"]),
        ({"ASYA_RUNTIME_TIMEOUT": "soon"}, ["ASYA_RUNTIME_TIMEOUT", "'soon'", "300s"]),
        ({"ASYA_SOCKET_CHMOD": "rw"}, ["ASYA_SOCKET_CHMOD", "'rw'", "0o660"]),
    ],
)
def test_the_last_line_gives_the_reason_for_a_failed_start(
    tmp_path: Path, environment: dict[str, str], words: list[str]
) -> None:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "lacking.py").write_text("import not_installed\n")
    env = {"ASYA_HANDLER": "handlers.echo", "ASYA_SOCKET_PATH": str(tmp_path / "app.sock"), **environment}
    done = subprocess.run([sys.executable, str(SCRIPT)], cwd=tmp_path, env=env, capture_output=True, timeout=30)
    text = done.stderr.decode()
    assert done.returncode == 1
    assert text.splitlines()[-1].startswith(f"asya-runtime: {words[0]}")
    assert all(word in text for word in words), text
