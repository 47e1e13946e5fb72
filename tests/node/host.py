"""Kills processes of containers from the node.

The kernel kills processes in the same way. SIGKILL from inside a container never reaches the container's first process.
"""

import json
from typing import Any

from tests.node.kubectl import apply, kubectl

NAME = "host"
SCRIPT = r"""
import json, os, sys
uids = [uid.replace("_", "-") for uid in sys.argv[1].split(",")]
word, without, number = sys.argv[2], sys.argv[3], int(sys.argv[4])
found = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        cgroup = open("/proc/%s/cgroup" % pid).read().replace("_", "-")
        command = open("/proc/%s/cmdline" % pid).read().replace("\0", " ")
        if not any(uid in cgroup for uid in uids) or word not in command or (without and without in command):
            continue
        memory = {}
        for line in open("/proc/%s/smaps_rollup" % pid):
            if line.split()[0] in ("Rss:", "Pss:", "Private_Dirty:"):
                memory[line.split()[0][:-1]] = int(line.split()[1])
    except (OSError, IndexError):
        continue
    found.append({"pid": int(pid), "command": command, **memory})
    if number:
        os.kill(int(pid), number)
print(json.dumps(found))
"""


class Host:
    """A pod that sees the node's processes."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        container = {
            "name": "host",
            "image": "python:3.13-slim",
            "command": ["python3", "-c", "import signal; signal.signal(15, lambda *_: exit()); signal.pause()"],
            "securityContext": {"privileged": True},
        }
        spec = {"hostPID": True, "containers": [container], "terminationGracePeriodSeconds": 1}
        apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME}, "spec": spec}, namespace=namespace)
        kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{NAME}", "--timeout=120s", timeout=130)

    def processes(self, *uids: str, word: str, without: str = "", send: int = 0) -> list[dict[str, Any]]:
        """Processes with ``word`` in their command line, in the pods with these uids: pid, command, KiB of memory.

        If ``send`` names a signal, each of them receives it.
        """
        arguments = ["python3", "-c", SCRIPT, ",".join(uids), word, without, str(send)]
        parsed: list[dict[str, Any]] = json.loads(kubectl("-n", self.namespace, "exec", NAME, "--", *arguments))
        return parsed

    def stop(self) -> None:
        """Delete the pod."""
        kubectl("delete", "namespace", self.namespace, "--wait=false", "--ignore-not-found")
