"""``kubectl asya``: status, explain and doctor, as users run them."""

import base64
import json
import os
import pty
import select
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kube.objects import Object
from kube.resources import SECRETS, Resource
from release.binaries import binary
from tests.harness.clusters import PATIENCE, Cluster, wait_for
from tests.harness.helm import Helm
from tests.harness.operator import NAMESPACE, Operator
from tests.harness.space import Space, actor, example

pytestmark = pytest.mark.best_tier

RBAC = {
    kind: Resource("rbac.authorization.k8s.io/v1", kind, f"{kind.lower()}s")
    for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
}
Ran = subprocess.CompletedProcess[str]


def run(cluster: Cluster, *arguments: str) -> Ran:
    """Run ``kubectl asya`` through kubectl, which finds the plugin on the PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PATH": path}
    command = [str(binary("kubectl")), "asya", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def test_status(space: Space, cluster: Cluster) -> None:
    space.apply(actor("good"))
    space.apply(actor("bad", workload={"name": "nobody"}))
    space.wait_condition("good", "Ready", "True")
    space.wait_condition("bad", "Ready", "False")
    wait_for("it to run", lambda: space.wait("AsyncActor", "good")["status"]["phase"] == "Running")
    shown = run(cluster, "status", "--namespace", space.name)
    assert (shown.returncode, shown.stderr) == (0, "")
    head, bad, good = shown.stdout.splitlines()
    assert head.split()[:4] == ["NAMESPACE", "NAME", "PHASE", "WORKLOAD"]
    assert good.split()[:6] == [space.name, "good", "Running", "Deployment/good", "1/1", f"asya-{space.name}-good"]
    assert "WorkloadError" in bad
    assert "WorkloadNotFound" in bad
    assert "\x1b" not in shown.stdout, "there is colour in a pipe"


def test_status_in_other_forms(space: Space, cluster: Cluster) -> None:
    space.apply(actor("a"))
    space.wait_condition("a", "Ready", "True")
    as_json = json.loads(run(cluster, "status", "a", "-n", space.name, "-o", "json").stdout)
    as_yaml = yaml.safe_load(run(cluster, "status", "-n", space.name, "-o", "yaml").stdout)
    value = as_json["items"][0] if as_json.get("kind") == "List" else as_json
    assert (value["kind"], value["metadata"]["name"]) == ("AsyncActor", "a")
    assert as_yaml["metadata"]["name"] == "a" if as_yaml.get("kind") == "AsyncActor" else as_yaml["items"]
    assert "PROBLEM" in run(cluster, "status", "-n", space.name, "-o", "wide").stdout


def test_missing_objects_are_reported(space: Space, cluster: Cluster) -> None:
    for command in ("status", "explain"):
        missing = run(cluster, command, "nobody", "-n", space.name)
        assert missing.returncode == 1
        assert missing.stdout == ""
        assert 'asyncactors.asya.io "nobody" not found' in missing.stderr
    empty = run(cluster, "status", "-n", space.name)
    assert (empty.returncode, empty.stdout) == (0, "")
    assert "No resources found" in empty.stderr
    assert run(cluster, "status", "-o", "xml").returncode == 2
    assert run(cluster, "status", "--no-such-option").returncode == 2


def test_status_with_watch_prints_each_change(space: Space, cluster: Cluster) -> None:
    space.apply(actor("a"))
    space.wait_condition("a", "Ready", "True")
    command = [
        sys.executable,
        "-u",
        "-m",
        "cli",
        "status",
        "-w",
        "-n",
        space.name,
        "--kubeconfig",
        str(cluster.kubeconfig),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout is not None
            assert watching.stdout.readline().startswith("NAMESPACE")
            space.apply(actor("another"))
            lines = iter(watching.stdout.readline, "")
            assert any("another" in line for line in lines)
        finally:
            watching.terminate()


def test_a_terminal_gets_colour_and_a_live_view(space: Space, cluster: Cluster) -> None:
    space.apply(actor("a"))
    wait_for("it to run", lambda: space.wait("AsyncActor", "a")["status"]["phase"] == "Running")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cli", "status", "-w", "-n", space.name, "--kubeconfig", str(cluster.kubeconfig)]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
    # A shell's background jobs, and perhaps these tests, ignore Ctrl-C, and child processes inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as watching:
        signal.signal(signal.SIGINT, before)
        try:
            _shown(ours, "\x1b[32mRunning")
            space.apply(actor("another"))
            _shown(ours, "another")
        finally:
            watching.send_signal(signal.SIGINT)
            _drain(ours, watching)
    assert watching.returncode == 0
    os.close(theirs)
    os.close(ours)


def _drain(terminal: int, writer: "subprocess.Popen[bytes]") -> None:
    """Read until the writer ends. Without a reader, a program that writes to a terminal waits for ever."""
    deadline = time.monotonic() + PATIENCE
    while writer.poll() is None:
        if time.monotonic() > deadline:
            writer.kill()
            raise AssertionError("it does not end at Ctrl-C")
        if select.select([terminal], [], [], 0.2)[0]:
            os.read(terminal, 1 << 16)


def _shown(terminal: int, text: str) -> None:
    """Read from a terminal until ``text`` appears."""
    observed = ""
    deadline = time.monotonic() + PATIENCE
    while text not in observed:
        assert time.monotonic() < deadline, observed
        if select.select([terminal], [], [], 1)[0]:
            observed += os.read(terminal, 1 << 16).decode(errors="replace")


def test_explain(space: Space, cluster: Cluster) -> None:
    space.apply(example("rabbitmq-deployment"))
    space.wait_condition("text-processor", "Ready", "True")
    message = run(cluster, "explain", "text-processor", "-n", space.name).stdout
    for part in (
        f"AsyncActor {space.name}/text-processor",
        "Deployment text-processor: created for this actor",
        "ScaledObject text-processor",
        "TriggerAuthentication text-processor",
        "because it has the label asya.io/actor=text-processor",
        "+ container sidecar (first of containers)",
        "+ volume asya-socket",
        "in container runtime (by its name",
        "+ command python3 /opt/asya/asya_runtime.py",
        "No problems",
    ):
        assert part in message, part


@pytest.fixture
def installed(operator: Operator, cluster: Cluster) -> Iterator[None]:
    """The rights from the chart. With access control, a healthy cluster needs them."""
    if cluster.real:
        for obj in Helm().template({}):
            if obj["kind"] in RBAC:
                operator.client.apply(RBAC[obj["kind"]], obj, manager="chart")
    yield
    if cluster.real:
        for obj in Helm().template({}):
            if obj["kind"] in RBAC:
                metadata: Object = obj["metadata"]
                operator.client.delete(RBAC[obj["kind"]], metadata.get("namespace", ""), metadata["name"])


def test_doctor(space: Space, operator: Operator, cluster: Cluster, installed: None) -> None:
    space.wait_for_others()
    secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rabbitmq", "namespace": space.name}}
    space.client.apply(SECRETS, {**secret, "data": {"password": "cA=="}}, manager="kubectl")
    space.apply(example("rabbitmq-deployment"))
    space.wait_condition("text-processor", "Ready", "True")
    well = run(cluster, "doctor", "--namespace", NAMESPACE)
    assert well.returncode == 0, well.stdout
    message = well.stdout
    for part in (
        "✔ Kubernetes",
        "✔ the CustomResourceDefinition",
        "✔ the controller",
        "✔ the MutatingWebhookConfiguration",
        "✔ the API server reaches the webhook",
        "✔ all 1 Secrets",
        "KEDA",
        *(["✔ the operator has the rights"] if cluster.real else []),
    ):
        assert part in message, part
    checks = json.loads(run(cluster, "doctor", "--namespace", NAMESPACE, "-o", "json").stdout)
    assert {"verdict": "good", "what": "the API server reaches the webhook", "remedy": ""} in checks
    space.client.delete(SECRETS, space.name, "rabbitmq")
    operator.stop_webhook()
    ill = run(cluster, "doctor", "--namespace", NAMESPACE)
    assert ill.returncode == 1
    assert "✘ the API server does not reach the webhook" in ill.stdout
    assert f"→ Create it: kubectl --namespace {space.name} create secret generic rabbitmq" in ill.stdout


def test_doctor_without_a_cluster(tmp_path: Path) -> None:
    nothing = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {"clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}]}
    nothing.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "c", **config}))
    command = [sys.executable, "-m", "cli", "doctor", "--kubeconfig", str(nothing)]
    start_time = time.monotonic()
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert completed.returncode == 1
    assert "✘ the API server" in completed.stdout
    assert completed.stdout.count("✘") == 1
    assert time.monotonic() - start_time < 30
    missing = subprocess.run([*command[:-1], str(tmp_path / "no")], capture_output=True, text=True, timeout=60)
    assert missing.returncode == 1
    assert "no cluster to connect to" in missing.stderr


def test_wait(space: Space, cluster: Cluster) -> None:
    space.apply(actor("a"))
    completed = run(cluster, "wait", "a", "-n", space.name, "--timeout", "60")
    assert (completed.returncode, completed.stdout) == (0, "asyncactor.asya.io/a condition=Ready met\n"), (
        completed.stderr
    )
    space.apply(actor("b", workload={"name": "nobody"}))
    late = run(cluster, "wait", "b", "-n", space.name, "--timeout", "1.5")
    assert late.returncode == 1
    assert "condition=Ready is not met within 1.5 s: " in late.stderr
    assert "WorkloadNotFound" in late.stderr


def test_the_plugins_controls(space: Space, cluster: Cluster) -> None:
    """tests/cluster/test_controls.py tests their effects."""
    space.apply(actor("a", scaling={"enabled": True}))
    space.wait_condition("a", "ScalingReady", "True")
    name = ("-n", space.name)
    assert run(cluster, "pause", "a", *name).stdout == "asyncactor.asya.io/a paused: it has no pods\n"
    assert run(cluster, "scale", "a", "--min", "1", "--max", "3", *name).stdout.endswith("scaled: 1 to 3 pods\n")
    assert run(cluster, "resume", "a", *name).stdout == "asyncactor.asya.io/a resumed: KEDA scales it\n"
    refused = run(cluster, "scale", "a", "--min", "9", *name)
    assert (refused.returncode, "minReplicas: must not be greater" in refused.stderr) == (1, True)


def test_a_report_has_everything_but_secrets(space: Space, cluster: Cluster, tmp_path: Path) -> None:
    marked = {name: f"MARKED-{name}-{'x' * 8}" for name in ("password", "plain", "annotation")}
    data = {"password": base64.b64encode(marked["password"].encode()).decode()}
    secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rabbitmq", "namespace": space.name}}
    space.client.apply(SECRETS, {**secret, "data": data}, manager="kubectl")
    obj = example("rabbitmq-deployment")
    obj["spec"]["scaling"]["enabled"] = False  # otherwise the actor has no pods
    container = obj["spec"]["workload"]["template"]["spec"]["containers"][0]
    container["env"].append({"name": "DB_PASSWORD", "value": marked["plain"]})
    container["env"].append({"name": "NOTE", "value": f"amqp://u:{marked['annotation']}@host/ {marked['password']}"})
    obj["metadata"]["annotations"] = {"note": f"the password is {marked['password']}"}
    space.apply(obj)
    space.wait_condition("text-processor", "Ready", "True")
    archive = tmp_path / "report.tar.gz"
    completed = run(cluster, "report", "-n", space.name, "-o", str(archive))
    assert (completed.returncode, completed.stdout) == (0, f"{archive}\n"), completed.stderr
    with tarfile.open(archive) as opened:
        files = {m.name.partition("/")[2]: opened.extractfile(m).read().decode() for m in opened}  # type: ignore[union-attr]
    assert {"versions.json", "events.json", "explain/text-processor.txt"} <= files.keys()
    assert {"objects/AsyncActor-text-processor.yaml", "objects/Deployment-text-processor.yaml"} <= files.keys()
    assert any(name.startswith("objects/Pod-text-processor") for name in files)
    assert not any("Secret" in name for name in files)
    everything = "\n".join(files.values()) + completed.stderr
    for value in (*marked.values(), data["password"]):
        assert value not in everything, value
    assert "***" in files["objects/AsyncActor-text-processor.yaml"]
    nothing = run(cluster, "report", "nobody", "-n", space.name)
    assert (nothing.returncode, '"nobody" not found' in nothing.stderr) == (1, True)
