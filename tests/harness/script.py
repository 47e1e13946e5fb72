"""The runtime script as a process, with clients for both of its protocols."""

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from runtime import SCRIPT
from tests.harness.clusters import wait_for

FRAMES_ROUTE = {"actors": ["a", "b"], "current": 0}
HTTP_ROUTE: dict[str, Any] = {"prev": None, "curr": "a", "next": ["b", "c"]}


def interpreters() -> list[str]:
    """Every available Python that the script supports, the oldest first."""
    versions = {}
    for folder in [*os.get_exec_path(), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]:
        for path in Path(folder).glob("python3.[0-9]*"):
            minor = path.name.removeprefix("python3.")
            if minor.isdecimal() and int(minor) >= 7 and os.access(path, os.X_OK):
                versions[int(minor)] = str(path)
    works = [
        p for p in versions.values() if not subprocess.run([p, "-c", ""], check=False, capture_output=True).returncode
    ]
    return sorted(works, key=lambda path: int(path.rpartition(".")[2])) or [sys.executable]


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float = 10) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def http_message(payload: Any, **more: Any) -> bytes:
    """A message of the http generation."""
    message = {"id": "1", "route": HTTP_ROUTE, "headers": {"h": 1}, "payload": payload, "status": {"phase": "x"}}
    return json.dumps({**message, **more}).encode()


def events(body: bytes) -> list[tuple[str, Any]]:
    """The events of a stream."""
    parsed = []
    for text in body.decode().split("\n\n")[:-1]:
        event, data = text.split("\n")
        parsed.append((event.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return parsed


class Script:
    """The script with one handler. Its working directory has ``handlers.py``."""

    def __init__(
        self,
        directory: Path,
        handlers: str,
        handler: str,
        python: str = sys.executable,
        script: Path = SCRIPT,
        arguments: tuple[str, ...] = (),
        ready: bool = True,
        port: bool = False,
        **environment: str,
    ) -> None:
        (directory / "handlers.py").write_text(handlers)
        self.directory = directory
        self.path = directory / "app.sock"
        self.port = free_port() if port else 0
        env = {"ASYA_HANDLER": handler, "ASYA_SOCKET_PATH": str(self.path)}
        if port:
            env["ASYA_RUNTIME_PORT"] = str(self.port)
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        self.output = directory / "output.log"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [python, str(script), *arguments],
                cwd=directory,
                env={**inherited, **env, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if ready:
            wait_for("the script", lambda: self.process.poll() is not None or (directory / "runtime-ready").exists())
            assert self.process.poll() is None, self.log()

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        """Its output."""
        return self.output.read_text(errors="replace")

    def send(self, data: bytes, timeout: float = 10) -> Any:
        """The answer to a frame."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout)
            client.connect(str(self.path))
            client.sendall(struct.pack(">I", len(data)) + data)
            stream = client.makefile("rb")
            (size,) = struct.unpack(">I", stream.read(4))
            return json.loads(stream.read(size))

    def call(self, payload: Any, **more: Any) -> Any:
        """The answer to a message of a frames generation."""
        message = {"id": "1", "route": FRAMES_ROUTE, "headers": {"h": 1}, "payload": payload, **more}
        return self.send(json.dumps(message).encode())

    def raw(self, data: bytes) -> bytes:
        """Send bytes as they are, close the sending side, and read the response."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.path))
            answer = b""
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                while part := client.recv(65536):
                    answer += part
            except (ConnectionResetError, BrokenPipeError):
                pass  # it had not read everything that was sent; its response arrived first
            return answer

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, bytes]:
        """Status, content type and body of the response to an HTTP request on the socket."""
        connection = UnixConnection(self.path)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read()

    def post(self, payload: Any, **more: Any) -> tuple[int, Any]:
        """Status and content of the response to a message of the http generation. The events of a stream are a list."""
        status, kind, body = self.request("POST", "/invoke", http_message(payload, **more))
        if kind == "text/event-stream":
            return status, events(body)
        return status, json.loads(body) if body else None

    def probe(self, path: str, timeout: float = 10) -> int:
        """The status of a response on its port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.request("GET", path)
        return connection.getresponse().status

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


class HolderProcess:
    """The socket holder as a process."""

    def __init__(self, directory: Path, python: str = sys.executable) -> None:
        self.socket = directory / "asya-holder.sock"
        before = self.socket.stat().st_ino if self.socket.exists() else None
        self.process = subprocess.Popen(
            [python, str(SCRIPT), "hold"],
            env={**os.environ, "ASYA_SOCKET_PATH": str(directory / "app.sock")},
            stderr=subprocess.DEVNULL,
        )
        wait_for("the holder", lambda: self.socket.exists() and self.socket.stat().st_ino != before)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(10)


def gone(pid: int, seconds: float = 5) -> bool:
    """Whether a process that is not a child ends in time. A process that nobody has reaped counts as ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
