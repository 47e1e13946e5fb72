"""The manual's drawings: which parts call which, the steps of an admission, and the life of an actor.

``python -m tests.docs.drawings`` writes them to ``docs/pictures``. ``make pictures`` does it too.
"""

from pathlib import Path

from cli.manual import DOCS
from tests.docs.svg import Drawing


def parts() -> Drawing:
    """Draw which parts call which."""
    drawing = Drawing(960, 620, "The parts of the Asya Operator and what they say to each other")
    drawing.box((20, 30), (190, 82), "You", "kubectl, Helm, Argo CD …", "an AsyncActor, or a label", kind="yours")
    drawing.box((350, 30), (210, 82), "Kubernetes API server", "stores objects,", "asks the webhook", kind="others")
    drawing.box((690, 30), (250, 82), "Webhook", "refuses what is not valid,", "injects labelled pod templates")
    drawing.box(
        (690, 152),
        (250, 98),
        "Controller",
        "applies workloads, KEDA objects,",
        "the runtime script;",
        "reports the status",
    )
    drawing.box((690, 330), (250, 82), "KEDA", "sets the number of pods", "by the length of the queue", kind="others")
    queues = ("the queue of the actor,", "of the next actor,", "of the end of the route")
    drawing.box((20, 342), (190, 98), "RabbitMQ or SQS", *queues, kind="others")
    drawing.box((290, 300), (330, 222), "Pod of an actor", kind="frame")
    drawing.box((310, 342), (290, 66), "Sidecar", "takes messages, sends results")
    drawing.box((310, 444), (290, 66), "Runtime", "your image with your function", kind="yours")

    drawing.arrow((210, 71), (350, 71))
    drawing.text((280, 63), "apply", anchor="middle")
    drawing.arrow((560, 60), (690, 60))
    drawing.text((625, 52), "review", anchor="middle")
    drawing.arrow((690, 90), (560, 90), back=True)
    drawing.text((625, 106), "patch or refusal", anchor="middle")
    drawing.arrow((690, 200), (530, 200), (530, 112), both=True)
    drawing.text((610, 192), "watch, apply", anchor="middle")
    drawing.arrow((815, 330), (815, 275), (480, 275), (480, 112))
    drawing.text((650, 267), "set replicas", anchor="middle")
    drawing.arrow((400, 112), (400, 300))
    drawing.text((392, 210), "a kubelet runs it", anchor="end")
    drawing.arrow((210, 375), (310, 375), both=True)
    drawing.text((250, 367), "messages", anchor="middle")
    drawing.arrow((455, 408), (455, 444), both=True)
    drawing.text((465, 431), "Unix socket")
    drawing.arrow((815, 412), (815, 560), (115, 560), (115, 440))
    drawing.text((465, 552), "reads the length of the queue", anchor="middle")
    _legend(drawing, 595)
    return drawing


def _legend(drawing: Drawing, y: int) -> None:
    for x, kind, text in ((20, "yours", "yours"), (120, "ours", "of the operator"), (280, "others", "of the cluster")):
        drawing.box((x, y - 12), (16, 16), "", kind=kind)
        drawing.text((x + 24, y), text)


def admission() -> Drawing:
    """Draw the steps of an admission, as a sequence."""
    drawing = Drawing(960, 600, "What happens when a labelled workload is admitted")
    places = {"You": 90, "API server": 350, "Webhook": 620, "Controller": 860}
    for name, x in places.items():
        drawing.box(
            (x - 70, 20), (140, 40), name, kind="yours" if name == "You" else "others" if "API" in name else "ours"
        )
        drawing.line((x, 60), (x, 580))
    you, api, webhook, controller = places.values()

    def step(y: int, start: int, end: int, text: str, *, back: bool = False) -> None:
        drawing.arrow((start, y), (end, y), back=back)
        drawing.text(((start + end) // 2, y - 8), text, anchor="middle")

    def note(y: int, x: int, *lines: str, kind: str = "ours") -> None:
        drawing.box((x - 110, y), (220, 20 + 16 * len(lines)), lines[0], *lines[1:], kind=kind)

    step(110, you, api, "apply: label asya.io/actor=web")
    step(150, api, webhook, "review of the workload")
    note(170, webhook, "Injection", "reads the actor from its cache,", "makes the plan, injects it")
    step(275, webhook, api, "patch: sidecar, socket, script", back=True)
    step(315, webhook, api, "or refusal: field and remedy", back=True)
    note(335, api, "Storage", "stores the injected template,", "or nothing if it is refused", kind="others")
    step(440, api, you, "created, with warnings", back=True)
    step(480, api, controller, "watch event")
    note(500, controller - 20, "Reconcile", "counts the workload,", "reports the status")
    return drawing


def life() -> Drawing:
    """Draw the life of an actor, by its phases."""
    drawing = Drawing(960, 470, "The life of an AsyncActor from the first apply to its deletion")
    width, height = 200, 82
    drawing.box(
        (20, 30),
        (width, height),
        "kubectl apply",
        "the webhook checks the spec",
        "and refuses a wrong one",
        kind="yours",
    )
    drawing.box((270, 30), (width, height), "Creating", "the controller applies the", "workload; it is injected")
    drawing.box((520, 30), (width, height), "Running", "all pods are ready")
    drawing.box((740, 190), (width, height), "Napping", "no pods: the queue is empty")
    drawing.box((270, 190), (width, height), "Updating", "pods are replaced, a few", "workloads at a time")
    drawing.box(
        (20, 190), (width, height), "RuntimeError …", "the status names the cause", "and what to do", kind="others"
    )
    drawing.box((520, 350), (width, height), "Terminating", "labels come off, and the", "sidecars with them")
    drawing.box((20, 350), (width, height), "Gone", "owned objects are deleted,", "labelled ones stay", kind="others")

    drawing.arrow((220, 71), (270, 71))
    drawing.arrow((470, 71), (520, 71))
    drawing.arrow((720, 60), (840, 60), (840, 190))
    drawing.text((780, 52), "queue is empty", anchor="middle")
    drawing.arrow((780, 190), (780, 90), (720, 90))
    drawing.text((772, 150), "a message", anchor="end")
    drawing.arrow((560, 112), (560, 215), (470, 215))
    drawing.text((552, 155), "new template,", anchor="end")
    drawing.text((552, 171), "sidecar or script", anchor="end")
    drawing.arrow((470, 250), (600, 250), (600, 112))
    drawing.text((480, 266), "rollout is complete")
    drawing.arrow((270, 215), (220, 215))
    drawing.arrow((220, 250), (270, 250), back=True)
    drawing.arrow((680, 112), (680, 350))
    drawing.text((672, 325), "kubectl delete", anchor="end")
    drawing.arrow((520, 391), (220, 391))
    return drawing


DRAWINGS = {"parts.svg": parts, "admission.svg": admission, "life.svg": life}


def main(directory: Path = DOCS / "pictures") -> None:
    """Write all drawings."""
    for name, draw in DRAWINGS.items():
        (directory / name).write_text(draw().svg())


if __name__ == "__main__":
    main()
