"""Applies ``examples/`` to a cluster with the operator, set up as in production, and shows the results.

It checks each step. The exit code is 0 only if all steps succeed.
"""

import argparse
import difflib
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from injection.inject import uninject
from kube.objects import Object
from tests.harness.clusters import ASSETS, start, why_not_real
from tests.harness.kubelet import played
from tests.harness.operator import Operator
from tests.harness.space import EXAMPLES, Space, containers, example

out = Console(width=None if sys.stdout.isatty() else 110, highlight=False)


class Demo:
    """The steps, and the number of failed ones."""

    def __init__(self, operator: Operator, space: Space) -> None:
        self.operator, self.space = operator, space
        self.failed = 0

    def step(self, title: str) -> None:
        """Begin a part of the demonstration."""
        out.print()
        out.print(Rule(Text(title, style="bold"), align="left"))

    def check(self, what: str, probe: Callable[[], Any]) -> Any:
        """Print whether ``probe`` holds. Return its result."""
        try:
            result = probe()
        except AssertionError as error:
            self.failed += 1
            out.print(Text.assemble(("  ✗ ", "bold red"), what, (f"  {error}", "red")))
            return None
        out.print(Text.assemble(("  ✓ ", "bold green"), what))
        return result

    def show_file(self, name: str) -> None:
        """Print the YAML that the step applies."""
        out.print(Syntax((EXAMPLES / f"{name}.yaml").read_text().rstrip(), "yaml", background_color="default"))

    def show_template(self, template: Object) -> None:
        """Print an injected template. Added lines have a mark."""
        before, after = (dump(t).splitlines() for t in (uninject(template), template))
        for line in difflib.ndiff(before, after):
            if line[0] == "+":
                out.print(Text(f"  + {line[2:]}", style="green"), soft_wrap=True)
            elif line[0] == " ":
                out.print(Text(f"    {line[2:]}", style="dim"), soft_wrap=True)

    def show_spec(self, obj: Object | None) -> None:
        """Print kind, name and spec of an object."""
        if obj is not None:
            out.print(Text(f"  {obj['kind']}/{obj['metadata']['name']}", style="bold"))
            out.print(Text("    " + dump(obj["spec"]).rstrip().replace("\n", "\n    ")), soft_wrap=True)

    def ready(self, name: str) -> None:
        """Check that the actor becomes ready."""
        started = time.monotonic()
        self.check(f"{name} is ready", lambda: self.space.wait_condition(name, "Ready", "True", timeout=10))
        out.print(Text(f"    after {time.monotonic() - started:.1f} s", style="dim"))

    def run(self) -> None:
        """Run all steps."""
        self.scale_a_deployment()
        self.make_a_stateful_set_and_jobs()
        self.refuse_an_invalid_actor()
        self.leave_a_plain_pod()
        self.step("The actors: kubectl get asya")
        self.show_table()
        self.step("Deleting an actor deletes all its objects")
        self.space.delete("AsyncActor", "indexer")
        self.check("the StatefulSet is gone", lambda: gone(self.space, "StatefulSet", "indexer"))

    def scale_a_deployment(self) -> None:
        """Show a RabbitMQ actor."""
        space = self.space
        self.step("A RabbitMQ actor: the input is these twenty lines")
        self.show_file("rabbitmq-deployment")
        space.apply(example("rabbitmq-deployment"))
        self.ready("text-processor")
        deployment = self.check(
            "the Deployment's first container is the sidecar",
            lambda: expect(
                space.wait("Deployment", "text-processor"), lambda d: containers(d) == ["sidecar", "runtime"]
            ),
        )
        if deployment is not None:
            self.step("The result is this pod template; the lines that injection added are marked")
            self.show_template(deployment["spec"]["template"])
        self.step("KEDA scales it from zero by the length of the queue")
        for kind in ("ScaledObject", "TriggerAuthentication"):
            self.show_spec(
                self.check(f"the {kind} exists", lambda kind=kind: space.wait(kind, "text-processor"))  # type: ignore[misc]
            )

    def make_a_stateful_set_and_jobs(self) -> None:
        """Show an SQS actor, and an actor with one Job for each batch of messages."""
        space = self.space
        self.step("An SQS actor as a StatefulSet, and an actor with one Job for each batch of messages")
        for name in ("sqs-statefulset", "scaled-job"):
            space.apply(example(name))
        self.ready("indexer")
        self.ready("video-encoder")
        self.check(
            "the StatefulSet has its volume claim and the sidecar",
            lambda: expect(
                space.wait("StatefulSet", "indexer"),
                lambda s: s["spec"]["volumeClaimTemplates"] and containers(s)[0] == "sidecar",
            ),
        )
        self.check(
            "the ScaledJob has a native sidecar, so that its Jobs complete",
            lambda: expect(
                space.wait("ScaledJob", "video-encoder"),
                lambda s: (
                    s["spec"]["jobTargetRef"]["template"]["spec"]["initContainers"][0]["restartPolicy"] == "Always"
                ),
            ),
        )

    def refuse_an_invalid_actor(self) -> None:
        """Show an invalid actor."""
        space = self.space
        self.step("The API server refuses an invalid actor")
        broken = example("invalid")
        messages = [space.refused(broken)]
        broken["spec"]["scaling"]["minReplicas"] = 1
        messages.append(space.refused(broken))
        for expected, message in zip(("minReplicas", "which one holds the function"), messages, strict=True):
            self.check(f"the message names {expected!r}", lambda e=expected, m=message: expect(m, lambda _: e in m))  # type: ignore[misc]
            out.print(Text(f"    {message}", style="yellow"))

    def leave_a_plain_pod(self) -> None:
        """Show a pod without the label."""
        space = self.space
        self.step("A pod without the label does not change")
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "plain"},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        }
        self.check(
            "a pod without the label has one container",
            lambda: expect(space.create_object(pod), lambda p: len(p["spec"]["containers"]) == 1),
        )

    def show_table(self) -> None:
        """Show the output of ``kubectl get``."""
        columns, rows = self.space.table("AsyncActor", wide=False)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.upper())
        for row in rows:
            table.add_row(*("" if cell is None else str(cell) for cell in row))
        Console(width=200, highlight=False).print(table)  # kubectl prints the full text too


def gone(space: Space, kind: str, name: str) -> bool:
    """Wait until the object is gone.

    Raises:
        AssertionError: if it stays.
    """
    space.wait_gone(kind, name, 20)
    return True


def dump(value: Any) -> str:
    """An object as YAML for people."""
    return yaml.safe_dump(value, sort_keys=False, width=100)


def expect(value: Any, holds: Callable[[Any], Any]) -> Any:
    """Return ``value`` if a condition holds for it.

    Raises:
        AssertionError: if it does not hold.
    """
    if not holds(value):
        raise AssertionError(f"found: {value}")
    return value


def main() -> int:
    """Run the demonstration. Return the exit code."""
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--keep", action="store_true", help="keep the cluster running until interrupted")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="asya-demo-"))
    missing = why_not_real()
    started = time.monotonic()
    cluster = start(directory / "cluster", real=not missing)
    operator = Operator(cluster, directory / "operator")
    logging.getLogger("kubernetes").setLevel(logging.CRITICAL)  # the operator's last log lines, while the cluster stops
    players = ExitStack()
    players.enter_context(played(cluster))
    try:
        if missing:
            out.print(f"Cluster: the sandbox, an in-memory imitation of the Kubernetes API ({missing}).")
        else:
            out.print(f"Cluster: a real kube-apiserver from {ASSETS}. The demo writes the status of pods and of KEDA.")
        operator.start()
        out.print(f"Webhook (gunicorn, TLS) and controller are ready after {time.monotonic() - started:.1f} s.")
        with Space.create(operator.client, "demo") as space:
            demo = Demo(operator, space)
            demo.run()
            out.print()
            if demo.failed:
                out.print(f"{demo.failed} steps failed; the logs are in {directory}", style="bold red")
            else:
                out.print(f"All steps succeeded in {time.monotonic() - started:.1f} s.", style="bold green")
            if options.keep:
                keep(cluster.kubeconfig)
    finally:
        operator.stop()
        players.close()
        cluster.stop()
    return 1 if demo.failed else 0


def keep(kubeconfig: Path) -> None:
    """Wait until interrupted."""
    out.print(f"\nThe cluster runs until you press Ctrl-C. In another terminal:\n\n  export KUBECONFIG={kubeconfig}")
    out.print("  kubectl --namespace demo get asya,deployments,scaledobjects,pods\n")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    sys.exit(main())
