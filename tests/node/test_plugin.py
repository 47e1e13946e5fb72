"""``kubectl asya`` on a real node: in its pod with the operator's real image, and from here by a forwarded port."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from kube.resources import JOBS, PODS, SECRETS
from messages.job import LABEL
from tests.harness.clusters import wait_for
from tests.node.kubectl import kubectl
from tests.node.site import Site

Report = Callable[[object], None]
GENERATIONS = pytest.mark.parametrize("generation", ["frames", "http"], indirect=True)
COUNT = 100
FORMS = [pytest.param((), id="pod"), pytest.param(("--local",), id="local")]


def asya(site: Site, *arguments: str, stdin: str = "", code: int = 0) -> str:
    """Run the plugin. Return its output. Its image is the operator's."""
    command = [sys.executable, "-m", "cli", *arguments, "--namespace", site.name]
    completed = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=240, check=False)
    assert completed.returncode == code, f"{' '.join(arguments)}: {completed.stdout}{completed.stderr}"
    return completed.stdout


def wait_clean(site: Site) -> None:
    """Wait until all objects of the plugin are gone."""
    wait_for(
        "nothing to be left",
        lambda: not any(site.client.list(r, site.name, labelSelector=LABEL) for r in (JOBS, PODS, SECRETS)),
        timeout=90,
        pause=0.5,
    )


@GENERATIONS
@pytest.mark.parametrize("form", FORMS)
def test_send_peek_and_replay(site: Site, report: Report, form: tuple[str, ...]) -> None:
    """Also in a namespace with the profile ``restricted``, in which the plugin's pod must start."""
    kubectl("label", "namespace", site.name, "pod-security.kubernetes.io/enforce=restricted")
    strict = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsNonRoot": True,
        "runAsUser": 4711,
    }
    route = site.start(site.actor("acted", container={"securityContext": strict}))
    start_time = time.monotonic()
    answer = json.loads(asya(site, "send", "acted", "-f", "-", "--wait", *form, stdin='{"word": "hello"}'))
    parts = [f"answered in {time.monotonic() - start_time:.1f} s"]
    assert answer["word"] == "hello"
    failed = asya(site, "send", "acted", "-f", "-", "--wait", *form, stdin='{"error": "no good"}', code=1)
    assert json.loads(failed)["error"] == "processing_error"
    route.collect(others=True)  # both answers are still at the end of the route, where others would have left them
    assert sum(route.counted.failed.values()) == 2

    asya(site, "pause", "acted")
    wait_for("its pods to go", lambda: not site.pods("acted"), timeout=90, pause=0.5)
    kubectl("-n", site.name, "wait", "--for=delete", "pod", "-l", "asya.io/actor=acted", "--timeout=90s")
    route.send({"n": n, "error": "once"} for n in range(COUNT))
    peeked = json.loads(asya(site, "peek", "acted", "-n", "5", "-o", "json", *form))
    assert [event["message"]["payload"]["n"] for event in peeked] == [0, 1, 2, 3, 4]
    assert route.broker.ready(route.queue) == COUNT
    asya(site, "resume", "acted")
    site.wait_condition("acted", "Ready", "True")
    listed = wait_for("all to fail", lambda: _listed(site, form), timeout=120, pause=2)
    asya(site, "pause", "acted")
    kubectl("-n", site.name, "wait", "--for=delete", "pod", "-l", "asya.io/actor=acted", "--timeout=90s")
    start_time = time.monotonic()
    replayed = asya(site, "dlq", "replay", "acted", "--error", "valueerror", *form)
    parts.append(f"{len(listed)} replayed in {time.monotonic() - start_time:.1f} s")
    assert len(replayed.splitlines()) == COUNT
    back = route.broker.take(route.queue)
    assert sorted(m["payload"]["n"] for m in back) == list(range(COUNT))
    wait_clean(site)
    report(", ".join(parts))


def _listed(site: Site, form: tuple[str, ...]) -> list[object]:
    parsed: list[object] = json.loads(asya(site, "dlq", "list", "acted", "--limit", "1000", "-o", "json", *form))
    assert len(parsed) == COUNT, len(parsed)
    return parsed


@pytest.mark.parametrize("generation", ["http"], indirect=True)
def test_ctrl_c_leaves_nothing(site: Site, report: Report) -> None:
    """Ctrl-C while the pod starts, and while it works: the answer takes longer than that."""
    site.start(site.actor("acted"))
    took = []
    for pause in (0.5, 4.0):
        command = [sys.executable, "-m", "cli", "send", "acted", "-f", "-", "--wait"]
        command += ["--namespace", site.name]
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:
            signal.signal(signal.SIGINT, before)
            assert running.stdin is not None
            running.stdin.write(b'{"seconds": 30}')
            running.stdin.close()
            running.stdin = None
            wait_for("the Job", lambda: site.client.list(JOBS, site.name, labelSelector=LABEL), 60, pause=0.1)
            time.sleep(pause)
            running.send_signal(signal.SIGINT)
            _, output = running.communicate(timeout=60)
        assert running.returncode == 130, output.decode()
        start_time = time.monotonic()
        wait_clean(site)
        took.append(f"{time.monotonic() - start_time:.0f} s")
    report(f"gone after {', '.join(took)}")


@pytest.mark.parametrize("generation", ["http"], indirect=True)
def test_logs_and_a_report(site: Site, report: Report) -> None:
    route = site.start(site.actor("acted", workload={"replicas": 2}))
    site.wait_ready("acted", 2)
    route.send({} for _ in range(5))
    route.wait_all(60)
    lines = asya(site, "logs", "acted", "--timestamps").splitlines()
    pods = {line.partition("/")[0] for line in lines}
    assert len(pods) == 2
    stamps = [line.split()[1] for line in lines]
    assert stamps == sorted(stamps)
    archive = asya(site, "report", "acted", "-o", f"/tmp/{site.name}.tar.gz").strip()
    size = subprocess.run(["tar", "tzf", archive], capture_output=True, text=True, check=True).stdout.splitlines()
    assert any("/metrics/" in name for name in size)
    assert any("/logs/" in name for name in size)
    report(f"{len(lines)} lines of 2 pods; {len(size)} files in the report")
