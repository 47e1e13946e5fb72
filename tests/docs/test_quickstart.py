"""What the quick start has its reader write works together: function, Dockerfile, Secret, actor and message."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from crds.parse import parse_actor
from injection.generations import consumed_queue
from injection.settings import SidecarDefaults
from tests.harness.clusters import ROOT
from tests.harness.script import Script

PAGE = (ROOT / "docs" / "quickstart-actor.md").read_text()
ACTOR: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "rabbitmq-deployment.yaml").read_text())
CONTAINER = ACTOR["spec"]["workload"]["template"]["spec"]["containers"][0]
HANDLER = next(entry["value"] for entry in CONTAINER["env"] if entry["name"] == "ASYA_HANDLER")


def block(language: str) -> str:
    """The page's only fenced part of a language."""
    (result,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(result)


def test_the_message_is_answered_as_the_page_says(tmp_path: Path) -> None:
    name, _, code = block("python").partition("\n")
    assert f"`{HANDLER}`" in PAGE
    assert name == f"# {HANDLER.partition('.')[0]}.py"
    (tmp_path / name.removeprefix("# ")).write_text(code)
    message = json.loads(block("json"))
    assert message["route"]["curr"] == ACTOR["metadata"]["name"]
    script = Script(tmp_path, "", HANDLER)
    try:
        status, answer = script.post(message["payload"], **{key: message[key] for key in ("id", "route", "headers")})
    finally:
        script.stop()
    assert status == 200
    (frame,) = answer["frames"]
    assert frame["route"] == {"prev": ["text-processor"], "curr": "", "next": []}
    assert f"`{json.dumps(frame['payload'])}`" in PAGE


def test_the_dockerfile_puts_the_function_where_it_is_found() -> None:
    lines = [line.split() for line in block("dockerfile").splitlines()]
    assert ["WORKDIR", "/app"] in lines
    assert ["COPY", f"{HANDLER.partition('.')[0]}.py", "."] in lines
    assert not any(line[0] in ("CMD", "ENTRYPOINT") for line in lines), "the operator sets the command"
    assert PAGE.count(CONTAINER["image"]) == 2, "built and pushed as the manifest names it"


def test_the_secret_and_the_queue_are_those_of_the_actor() -> None:
    rabbitmq = ACTOR["spec"]["transport"]["rabbitmq"]
    secret = rabbitmq["passwordSecretRef"]
    assert f"kubectl create secret generic {secret['name']} --from-literal={secret['key']}=asya" in PAGE
    queue = consumed_queue(parse_actor(ACTOR), SidecarDefaults())
    assert f"declare queue name={queue} " in PAGE
    assert f"routing_key={queue} " in PAGE
    assert f"get queue={queue.replace('text-processor', 'x-sink')}" in PAGE
    broker = yaml.safe_load_all((ROOT / "examples" / "minikube" / "rabbitmq.yaml").read_text())
    service = next(obj for obj in broker if obj["kind"] == "Service")
    assert rabbitmq["host"] == f"{service['metadata']['name']}.{service['metadata']['namespace']}"
