"""podrun follows the rules of a kubelet."""

import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest

from kube.client import Client
from tests.harness.clusters import wait_for
from tests.podrun.pod import CreateContainerConfigError, Image, InitContainerError, Pod, expand


class Store:
    """An API with one Secret and one ConfigMap."""

    def get(self, resource: Any, namespace: str, name: str) -> Any:
        data = {"Secret": {"k": "c2VjcmV0"}, "ConfigMap": {"app.py": "import os, sys; print(os.environ['PLACE'])"}}
        return {"data": data[resource.kind]} if (namespace, name) == ("n", "there") else None


def pod(directory: Path, *containers: dict[str, Any], **spec: Any) -> Pod:
    obj = {"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": list(containers), **spec}}
    return Pod(obj, cast(Client, Store()), directory / "pod", {"python": Image((sys.executable,))})


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("$(", "$("), ("$$$(A)", "$1"), ("$(A)$(A)", "11")],
)
def test_references_are_expanded_as_in_kubernetes(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_variables_refer_only_to_earlier_ones(tmp_path: Path) -> None:
    env = [
        {"name": "EARLY", "value": "$(LATE)"},
        {"name": "LATE", "value": "x"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "there", "key": "k"}}},
        {"name": "BOTH", "value": "$(LATE)$(SECRET)"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    assert pod(tmp_path).environment({"env": env}) == {
        "EARLY": "$(LATE)",
        "LATE": "x",
        "SECRET": "secret",
        "BOTH": "xsecret",
        "POD": "p",
    }


@pytest.mark.parametrize("reference", [{"name": "missing", "key": "k"}, {"name": "there", "key": "missing"}])
def test_a_missing_secret_or_key_is_an_error(tmp_path: Path, reference: dict[str, str]) -> None:
    with pytest.raises(CreateContainerConfigError, match="missing"):
        pod(tmp_path).environment({"env": [{"name": "A", "valueFrom": {"secretKeyRef": reference}}]})


def test_mounts_are_mapped_and_ended_containers_restart(tmp_path: Path) -> None:
    container = {
        "name": "c",
        "image": "python",
        "args": ["/opt/app.py"],
        "env": [{"name": "PLACE", "value": "/var/run/asya"}],
        "volumeMounts": [
            {"name": "socket", "mountPath": "/var/run/asya"},
            {"name": "code", "mountPath": "/opt/app.py", "subPath": "app.py"},
        ],
    }
    volumes = [{"name": "socket", "emptyDir": {}}, {"name": "code", "configMap": {"name": "there"}}]
    running = pod(tmp_path, container, volumes=volumes)
    running.start()
    wait_for("a restart", lambda: running.restarts["c"] > 1)
    running.stop()
    assert running.log("c").splitlines()[0] == str(tmp_path / "pod" / "socket")
    ended = running.restarts["c"]
    time.sleep(0.3)
    assert running.restarts["c"] == ended


SAYS = "import sys, time; print(time.monotonic(), flush=True); "
UNTIL_SIGTERM = (
    "import signal, time; signal.signal(15, lambda *_: (print(time.monotonic()), sys.exit(0))); signal.pause()"
)
SERVES = """
import http.server, os, signal, sys
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, flush=True)
        self.send_response(200 if os.path.exists("ready") or self.path != "/ready" else 503)
        self.end_headers()
    def log_message(self, *_): pass
signal.signal(15, lambda *_: (print("SIGTERM", flush=True), os._exit(0)))
http.server.HTTPServer(("127.0.0.1", int(os.environ["ASYA_RUNTIME_PORT"])), Answers).serve_forever()
"""


def script(name: str, code: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "python", "args": ["-c", code], **fields}


def times(running: Pod, name: str) -> list[float]:
    return [float(line) for line in running.log(name).splitlines()]


def test_native_sidecars_start_first_and_end_last_in_reverse_order(tmp_path: Path) -> None:
    native = [script(name, SAYS + UNTIL_SIGTERM, restartPolicy="Always") for name in ("first", "second")]
    once = script("once", SAYS)
    running = pod(tmp_path, script("main", SAYS + UNTIL_SIGTERM), initContainers=[native[0], once, native[1]])
    running.start()
    wait_for("the main container", lambda: times(running, "main") and times(running, "second"))
    running.stop()
    first, main, second = (times(running, name) for name in ("first", "main", "second"))
    assert times(running, "once")[0] < main[0]
    assert main[1] < second[1] < first[1]
    assert running.complete
    assert running.containers["once"].exits == [0]


def test_a_failed_init_container_starts_no_other_container(tmp_path: Path) -> None:
    running = pod(tmp_path, script("main", SAYS), initContainers=[script("init", "import sys; sys.exit(3)")])
    with pytest.raises(InitContainerError, match="init"):
        running.start()
    assert list(running.containers) == ["init"]


def test_the_pod_of_a_job_ends_with_its_main_containers(tmp_path: Path) -> None:
    native = [script("sidecar", SAYS + UNTIL_SIGTERM, restartPolicy="Always")]
    running = pod(
        tmp_path,
        script("main", "import os, sys; open('x', 'x') and sys.exit(1) if not os.path.exists('x') else 0"),
        initContainers=native,
        restartPolicy="OnFailure",
    )
    running.start()
    wait_for("the pod to end", lambda: running.complete)
    assert (running.containers["main"].exits, running.restarts["main"]) == ([1, 0], 1)
    assert running.containers["sidecar"].exits == [0]


def test_probes_gate_readiness_hooks_precede_sigterm_and_each_pod_has_its_own_ports(tmp_path: Path) -> None:
    def get(path: str) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": 9096}}

    fields = {
        "env": [{"name": "ASYA_RUNTIME_PORT", "value": "9096"}],
        "startupProbe": get("/health"),
        "readinessProbe": get("/ready"),
        "lifecycle": {"preStop": get("/drain")},
    }
    pods = [pod(tmp_path / name, script("c", SERVES, **fields)) for name in ("one", "two")]
    for directory in ("one", "two"):
        (tmp_path / directory).mkdir()
    for running in pods:
        running.start()
    wait_for("start-up", lambda: all("/ready" in running.log("c") for running in pods))
    assert not any(running.ready for running in pods)
    assert pods[0].ports[9096] != pods[1].ports[9096]
    for directory in ("one", "two"):
        (tmp_path / directory / "pod" / "ready").touch()
    wait_for("readiness", lambda: all(running.ready for running in pods))
    for running in pods:
        running.stop()
        assert running.containers["c"].hooks == ["ok 200"]
        assert running.log("c").splitlines()[-2:] == ["/drain", "SIGTERM"]
        assert [ready for _, ready in running.containers["c"].readiness] == [True, False]


def test_processes_that_outlive_the_grace_period_are_killed_with_their_children(tmp_path: Path) -> None:
    code = """
import os, signal, time
signal.signal(15, signal.SIG_IGN)
print(os.fork(), flush=True)
time.sleep(60)
"""
    running = pod(tmp_path, script("c", code), terminationGracePeriodSeconds=1)
    running.start()
    child = int(wait_for("a child", lambda: [line for line in running.log("c").splitlines() if line != "0"])[0])
    began = time.monotonic()
    running.stop()
    assert 0.9 < time.monotonic() - began < 5
    assert running.containers["c"].exits == [-9]
    wait_for("the child to go", lambda: not Path(f"/proc/{child}/stat").exists() or _zombie(child))


def _zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()
