"""Start, drain and end of a runtime, and what the socket holder keeps when a runtime dies."""

import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import SCRIPT
from tests.harness.clusters import wait_for
from tests.harness.script import HolderProcess, Script, UnixConnection, http_message

HANDLERS = """
import os, time
def wait(payload):
    time.sleep(payload)
    return payload
def count(payload):
    with open("calls", "a") as calls:
        calls.write("%s\\n" % payload)
    time.sleep(0.001)
    return payload
"""
SLOW_TO_LOAD = """
import os, time
while not os.path.exists("go"):
    time.sleep(0.05)
def wait(payload): return payload
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[HolderProcess]:
    """A socket holder in the directory of the scripts."""
    process = HolderProcess(tmp_path)
    yield process
    process.process.kill()
    process.process.wait()


def held(tmp_path: Path) -> dict[str, Any]:
    """The variable that tells a runtime about the holder."""
    return {"ASYA_SOCKET_HOLDER": str(tmp_path / "asya-holder.sock")}


def in_background(work: Any) -> tuple[threading.Thread, list[Any]]:
    """Run ``work`` on a thread. Return the thread, and a list for its result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


# -- readiness, drain, end of a job --------------------------------------------------------------------------


def status(script: Any, path: str) -> int:
    """The status of a response on the script's port, or 0 without a response."""
    try:
        return int(script.probe(path))
    except OSError:
        return 0


def test_ready_means_loaded(scripts: Any, tmp_path: Path) -> None:
    script = scripts(SLOW_TO_LOAD, "handlers.wait", ready=False, port=True)

    wait_for("the port", lambda: status(script, "/healthz") == 200)
    assert status(script, "/ready") == 503
    assert not (tmp_path / "runtime-ready").exists()
    (tmp_path / "go").touch()
    wait_for("readiness", lambda: status(script, "/ready") == 200)
    assert (tmp_path / "runtime-ready").exists()
    assert status(script, "/other") == 400


def test_sigterm_while_loading_ends_at_once(scripts: Any) -> None:
    script = scripts(SLOW_TO_LOAD, "handlers.wait", ready=False, port=True)
    wait_for("the port", lambda: status(script, "/healthz") == 200)
    assert script.stop() == 0


def test_drain_waits_for_the_message_in_hand_and_later_messages_wait(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.wait", port=True)
    first, answers = in_background(lambda: (script.post(1.0)[0], time.monotonic()))
    time.sleep(0.3)
    drain, drained = in_background(lambda: (script.probe("/drain"), time.monotonic()))
    wait_for("it to say so", lambda: script.probe("/ready") == 503)
    with socket.socket(socket.AF_UNIX) as later:
        later.connect(str(script.path))
        later.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        first.join()
        drain.join()
        assert (answers[0][0], drained[0][0]) == (200, 200)
        assert drained[0][1] - answers[0][1] >= 0.25, "the sidecar has no time to publish"
        later.settimeout(0.3)
        with pytest.raises(TimeoutError):
            later.recv(1)
        assert script.stop() == 0


def test_sigterm_answers_drain_and_waits_for_the_sidecar(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.wait", port=True)
    first, answers = in_background(lambda: script.post(0.8)[0])
    time.sleep(0.3)
    script.process.send_signal(signal.SIGTERM)
    drain, drained = in_background(lambda: script.probe("/drain"))
    assert script.process.wait(10) == 0
    first.join()
    drain.join()
    assert (answers, drained) == ([200], [200])


def test_without_a_sigterm_it_continues(scripts: Any, tmp_path: Path) -> None:
    impatient = tmp_path / "impatient.py"
    impatient.write_text(SCRIPT.read_text().replace("RESUME_SECONDS = 30.0", "RESUME_SECONDS = 0.3"))
    script = scripts(HANDLERS, "handlers.wait", script=impatient, port=True)
    assert script.probe("/drain") == 200
    assert script.post(0)[0] == 200
    assert script.probe("/ready") == 200


def test_rude_clients_of_the_port(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.wait", port=True)
    clients = [socket.create_connection(("127.0.0.1", script.port)) for _ in range(100)]
    for n, client in enumerate(clients):
        with contextlib.suppress(OSError):
            client.sendall([b"", b"GET", b"\0" * 5000, b"x" * 100_000, b"POST / HTTP/1.1\r\n\r\n"][n % 5])
    assert script.probe("/ready") == 200
    for client in clients:
        client.close()
    assert script.probe("/ready") == 200
    assert script.post(0)[0] == 200


def test_a_job_ends_after_its_messages(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.wait", ASYA_JOB_MESSAGES="2")
    script.raw(b"")
    assert script.request("GET", "/healthz")[0] == 200
    assert script.post(0)[0] == 200
    time.sleep(0.2)
    assert script.process.poll() is None
    assert script.post("no number")[0] == 500
    began = time.monotonic()
    assert script.process.wait(10) == 0
    assert time.monotonic() - began > 0.8, "the sidecar has no time to acknowledge"


def test_a_job_ends_when_no_message_arrives(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.wait", ASYA_JOB_IDLE_SECONDS="1")
    for _ in range(3):
        time.sleep(0.5)
        assert script.post(0)[0] == 200
    assert script.process.wait(10) == 0


def probe_by_exec(script: Script) -> int:
    """The exit code of an exec probe."""
    env = {**os.environ, "ASYA_SOCKET_PATH": str(script.path)}
    return subprocess.run([sys.executable, str(SCRIPT), "ready"], env=env, capture_output=True, timeout=30).returncode


def test_the_exec_probe(scripts: Any, tmp_path: Path, holder: HolderProcess) -> None:
    script = scripts(HANDLERS, "handlers.wait", **held(tmp_path))
    busy, _answers = in_background(lambda: script.post(1))
    assert probe_by_exec(script) == 0
    busy.join()
    script.stop(signal.SIGKILL)
    assert probe_by_exec(script) == 1


# -- the socket holder ---------------------------------------------------------------------------------------


def test_connections_wait_while_no_runtime_runs(scripts: Any, tmp_path: Path, holder: HolderProcess) -> None:
    connections = [UnixConnection(tmp_path / "asya-runtime.sock", timeout=20) for _ in range(20)]
    for n, connection in enumerate(connections):
        connection.request("POST", "/invoke", http_message(n / 1000))
    script = scripts(HANDLERS, "handlers.wait", **held(tmp_path))
    answers = [json.loads(connection.getresponse().read()) for connection in connections]
    assert [answer["frames"][0]["payload"] for answer in answers] == [n / 1000 for n in range(20)]
    assert script.stop() == 0
    assert holder.stop() == 0
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".sock" or path.name == "runtime-ready"] == []


def test_a_sidecar_that_starts_without_a_runtime_waits(scripts: Any, tmp_path: Path, holder: HolderProcess) -> None:
    """Otherwise it would take a message until its timeout. Each runtime creates and removes its own ready file."""
    script = scripts(HANDLERS, "handlers.wait", **held(tmp_path))
    ready = tmp_path / "runtime-ready"
    assert ready.exists()
    script.stop(signal.SIGKILL)
    wait_for("the file to go", lambda: not ready.exists(), timeout=5)
    scripts(HANDLERS, "handlers.wait", **held(tmp_path))
    wait_for("the file", ready.exists, timeout=10)
    time.sleep(0.3)
    assert ready.exists()


def test_a_runtime_without_its_holder_logs_the_remedy(tmp_path: Path) -> None:
    impatient = tmp_path / "impatient.py"
    impatient.write_text(SCRIPT.read_text().replace("HOLDER_SECONDS = 60.0", "HOLDER_SECONDS = 0.3"))
    script = Script(tmp_path, HANDLERS, "handlers.wait", script=impatient, ready=False, **held(tmp_path))
    assert script.process.wait(10) == 1
    assert "ASYA_SOCKET_HOLDER" in script.log()
    assert "spec.socket.activation" in script.log()


def test_a_replaced_holder_loses_nothing(scripts: Any, tmp_path: Path, holder: HolderProcess) -> None:
    script = scripts(HANDLERS, "handlers.wait", **held(tmp_path))
    for _ in range(3):
        holder.stop(signal.SIGKILL)
        assert script.post(1)[0] == 200, "the socket must outlive its holder"
        holder.process = HolderProcess(tmp_path).process
        assert script.post(2)[0] == 200
        assert script.call(0)[0]["payload"] == 0
    assert script.stop() == 0


def test_a_flood_on_the_holders_socket(scripts: Any, tmp_path: Path, holder: HolderProcess) -> None:
    script = scripts(HANDLERS, "handlers.wait", **held(tmp_path))
    for _ in range(300):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(holder.socket))
    clients = [socket.socket(socket.AF_UNIX) for _ in range(200)]
    for client in clients:
        client.connect(str(holder.socket))
    assert script.post(0)[0] == 200
    other = scripts(HANDLERS, "handlers.wait", **held(tmp_path))
    assert [script.post(0)[0] for _ in range(20)] == [200] * 20
    assert script.stop() == 0
    assert other.post(0)[0] == 200
    for client in clients:
        client.close()


@pytest.mark.parametrize("kind", ["frames", "http"])
def test_20_kills_among_1000_messages_lose_at_most_one_message_each(
    tmp_path: Path, holder: HolderProcess, kind: str
) -> None:
    (tmp_path / "calls").touch()
    environment = held(tmp_path)
    running = [Script(tmp_path, HANDLERS, "handlers.count", **environment)]
    answered: list[int] = []
    failed: list[int] = []

    def send() -> None:
        for n in range(1000):
            try:
                if kind == "http":
                    assert running[0].post(n)[0] == 200
                else:
                    assert running[0].call(n)[0]["payload"] == n
                answered.append(n)
            except (OSError, http.client.HTTPException, struct.error):
                failed.append(n)

    thread = threading.Thread(target=send)
    thread.start()
    for kill in range(20):
        wait_for("progress", lambda: len(answered) + len(failed) >= 45 * (kill + 1))  # noqa: B023
        running[0].stop(signal.SIGKILL)
        running[0] = Script(tmp_path, HANDLERS, "handlers.count", ready=False, **environment)
    thread.join(60)
    running[0].stop(signal.SIGKILL)
    print(kind, "answered", len(answered), "failed", len(failed))
    assert len(answered) + len(failed) == 1000
    assert len(failed) <= 20
    calls = Counter(map(int, (tmp_path / "calls").read_text().split()))
    assert set(calls.values()) == {1}
    assert set(answered) <= set(calls)
