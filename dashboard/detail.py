"""The data of one actor's page. Each part is read by itself, so a missing right affects one part only."""

import re
from collections.abc import Callable
from typing import Any, Final

from controller.rules.pods import is_ready
from controller.rules.remedies import REMEDIES
from controller.rules.status import PARTS, READY
from crds.names import LABEL_ACTOR, RUNTIME, SIDECAR
from dashboard import pods
from dashboard.ports import Explained, Ports
from dashboard.redact import plain_secrets, redact, redact_all
from dashboard.rights import missing_right
from kube import events
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import PODS
from messages.logs import runtime_of

MAX_EVENTS: Final = 50
MAX_PODS: Final = 200
LOGGED_PODS: Final = 5
"""Maximum of pods whose logs are merged."""
LOG_LINES: Final = 200
ASKED_PODS: Final = 3
"""Maximum of unready pods whose Events are read."""
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def detail(client: Client, ports: Ports, actor: Object) -> Object:
    """All data of the actor's page that is not in its row."""
    metadata, status = actor["metadata"], actor.get("status") or {}
    namespace, name = metadata["namespace"], metadata["name"]
    missing: list[str] = []
    explained = _part(lambda: ports.explain(namespace, name), None, missing, "", "objects of the actor", namespace)
    actor_pods = _pods(client, namespace, name, missing)
    recent = _part(lambda: _events(client, actor, actor_pods), [], missing, "list", "events", namespace)
    secrets = known_secrets(explained, actor_pods)
    explanation = explained or Explained()
    return {
        "conditions": [shown_condition(c) for c in _ordered(status.get("conditions") or ())],
        "objects": explanation.objects,
        "injection": explanation.injection,
        "queueing": explanation.queue,
        "warnings": explanation.warnings,
        "pods": [redact_all(shown_pod(pod), secrets) for pod in actor_pods[:MAX_PODS]],
        "events": [redact_all(shown_event(event), secrets) for event in recent[-MAX_EVENTS:][::-1]],
        "missing": missing,
        "can": {"pause": ports.pauser is not None, "letters": ports.letters is not None},
    }


def _part(read: Callable[[], Any], default: Any, missing: list[str], verb: str, part: str, namespace: str) -> Any:
    """The result of ``read``; after an error, ``default``, and a message is added to ``missing``.

    Args:
        read: reads a part of the page.
        default: the result after an error.
        missing: messages about missing parts.
        verb: the right that ``read`` needs; empty if it needs several.
        part: the resource, for messages.
        namespace: the actor's.
    """
    try:
        return read()
    except ApiError as error:
        is_denied = error.code == 403 and bool(verb)
        missing.append(missing_right(verb, part, namespace) if is_denied else f"{part}: {redact(error.message)}")
        return default


def _pods(client: Client, namespace: str, actor: str, missing: list[str]) -> list[Object]:
    """The actor's pods; empty, with a message in ``missing``, if they cannot be listed."""
    selector = f"{LABEL_ACTOR}={actor}"
    listed: list[Object] = _part(
        lambda: client.list(PODS, namespace, labelSelector=selector), [], missing, "list", "pods", namespace
    )
    return listed


def known_secrets(explained: Explained | None, actor_pods: list[Object]) -> list[str]:
    """The values of environment variables with secret names, in an actor's workloads and pods."""
    workloads = explained.workloads if explained is not None else []
    templates = [(w.get("spec") or {}).get("template") or {} for w in workloads]
    return plain_secrets([(obj.get("spec") or {}) for obj in (*templates, *actor_pods)])


def _ordered(conditions: Any) -> list[Object]:
    order = [READY, *PARTS]
    parts = {f"{c['type']}: {c.get('message')}" for c in conditions}
    conditions = [c for c in conditions if c.get("message") not in parts]  # Ready, if it only repeats another one
    return sorted(
        conditions, key=lambda c: (c["status"] == "True", order.index(c["type"]) if c["type"] in order else 99)
    )


def shown_condition(condition: Object) -> Object:
    """A condition for the page, with its message split into the problem and the remedy."""
    what, do = split_remedy(str(condition.get("message") or ""))
    return {
        "type": condition["type"],
        "status": condition["status"],
        "reason": condition["reason"],
        "since": condition.get("lastTransitionTime", ""),
        "what": redact(what),
        "do": redact(do) if condition["status"] != "True" else "",
    }


def split_remedy(message: str) -> tuple[str, str]:
    """The problem and the remedy of a condition's message; the remedy is empty if there is none."""
    starts = (message.find(f". {prefix}") for prefix in _PREFIXES)
    start = max(starts, default=-1)
    return (message[: start + 1], message[start + 2 :]) if start >= 0 else (message, "")


_PREFIXES: Final = sorted({prefix for r in REMEDIES.values() if len(prefix := r.do.partition("{")[0]) >= 8})
"""The beginning of each remedy, up to its first placeholder."""


def _events(client: Client, actor: Object, actor_pods: list[Object]) -> list[Object]:
    """Events about the actor, its workload and its unready pods, the latest last."""
    metadata, status = actor["metadata"], actor.get("status") or {}
    about = [("AsyncActor", metadata["name"])]
    for field in ("workloadRef", "scaledObjectRef", "scaledJobRef"):
        if field in status:
            about.append((status[field]["kind"], status[field]["name"]))
    about += [("Pod", pod["metadata"]["name"]) for pod in actor_pods if not is_ready(pod)][:ASKED_PODS]
    recent = [e for kind, name in about for e in events.list_events(client, kind, metadata["namespace"], name)]
    return sorted(recent, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))


def shown_event(event: Object) -> Object:
    """An Event for the page."""
    about = event.get("involvedObject") or {}
    return {
        "at": str(event.get("lastTimestamp") or event.get("eventTime") or ""),
        "warning": event.get("type") == "Warning",
        "reason": str(event.get("reason") or ""),
        "about": f"{about.get('kind')} {about.get('name')}",
        "message": str(event.get("message") or ""),
        "count": event.get("count") or 1,
    }


def shown_pod(pod: Object) -> Object:
    """A pod for the page."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    statuses = [s for part in ("initContainerStatuses", "containerStatuses") for s in status.get(part) or ()]
    waiting = [((s.get("state") or {}).get("waiting") or {}).get("reason") for s in statuses]
    state = next(
        (str(reason) for reason in waiting if reason), str(status.get("reason") or status.get("phase") or "Pending")
    )
    return {
        "name": metadata["name"],
        "ready": is_ready(pod),
        "state": "Terminating" if metadata.get("deletionTimestamp") else state,
        "restarts": sum(s.get("restartCount") or 0 for s in statuses),
        "node": str((pod.get("spec") or {}).get("nodeName") or ""),
        "created": str(metadata.get("creationTimestamp") or ""),
    }


def logs(client: Client, reach: Client, namespace: str, name: str, container: str) -> Object:
    """The last log lines of an actor's newest pods, merged by time.

    Args:
        client: for requests about pods.
        reach: for requests to pods.
        namespace: the actor's.
        name: the actor's.
        container: ``sidecar``; any other text means the runtime.
    """
    missing: list[str] = []
    actor_pods = _pods(client, namespace, name, missing)
    actor_pods.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)
    secrets = known_secrets(None, actor_pods)
    lines: list[tuple[str, str, str]] = []
    for pod in actor_pods[:LOGGED_PODS]:
        pod_name = pod["metadata"]["name"]
        log_of = SIDECAR if container == SIDECAR else runtime_of(pod) or RUNTIME
        try:
            text = pods.log(reach, namespace, pod_name, log_of, lines=LOG_LINES)
        except ApiError as error:
            denied = missing_right("get", "pods/log", namespace)
            missing.append(denied if error.code == 403 else f"{pod_name}: {redact(error.message, secrets)}")
            continue
        lines += [(*_stamped(line), pod_name) for line in text.splitlines()]
    lines.sort(key=lambda line: line[0])
    shown = [{"at": at, "text": redact(text, secrets), "pod": pod} for at, text, pod in lines[-LOG_LINES:]]
    count = len(actor_pods)
    return {"lines": shown, "missing": sorted(set(missing)), "pods": count, "read": min(count, LOGGED_PODS)}


def _stamped(line: str) -> tuple[str, str]:
    """The time and the text of a line, without terminal control sequences."""
    at, _, text = line.partition(" ")
    if not at[:4].isdigit():
        at, text = "", line
    return at, _CONTROL.sub("", text)
