"""kubectl, for tasks that need more than requests: processes in containers, ports of pods, rollouts."""

import os
import re
import signal
import subprocess
import threading
from typing import Any

import orjson
import yaml

from tests.harness.clusters import wait_for

Object = dict[str, Any]


def kubectl(*arguments: str, stdin: str = "", timeout: float = 120, check: bool = True) -> str:
    """Run kubectl. Return its output. An error includes its message."""
    completed = subprocess.run(
        ["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert not check or completed.returncode == 0, (
        f"kubectl {' '.join(arguments)}: {completed.stderr or completed.stdout}"
    )
    return completed.stdout


def get(*arguments: str) -> Any:
    """Run ``kubectl get -o json``."""
    return orjson.loads(kubectl("get", *arguments, "--output=json"))


def apply(*objects: Object, namespace: str = "") -> None:
    """Run ``kubectl apply`` with objects, in a namespace if one is given."""
    inside = (f"--namespace={namespace}",) if namespace else ()
    kubectl("apply", "--server-side", *inside, "--filename=-", stdin=yaml.safe_dump_all(objects))


class Forward:
    """``kubectl port-forward``: ports of a pod on loopback, as long as the pod lives."""

    LINE = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)")

    def __init__(self, namespace: str, target: str, *ports: int) -> None:
        self._command = ["kubectl", "-n", namespace, "port-forward", "--address=127.0.0.1", target]
        self._command += [f":{port}" for port in ports]
        self._wanted, self.ports = set(ports), dict[int, int]()
        self._child = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self._output: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        try:
            wait_for(f"port-forward to {target}", self._there, timeout=30)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{''.join(self._output)}") from None

    def _there(self) -> bool:
        assert self._child.poll() is None, "kubectl ended"
        return set(self.ports) == self._wanted

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if match := self.LINE.match(line):
                self.ports[int(match[2])] = int(match[1])
            elif len(self._output) < 20:
                self._output.append(line)

    @property
    def alive(self) -> bool:
        """Whether kubectl still runs."""
        return self._child.poll() is None

    def stop(self) -> None:
        """Stop kubectl."""
        if self.alive:
            os.killpg(self._child.pid, signal.SIGTERM)
            self._child.wait(10)
