"""Stand-ins for programs that the manual's commands call and that the test machine lacks.

``python -m tests.docs.engine PROGRAM …`` replaces ``docker``, and ``rabbitmqadmin`` in the broker's pod.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pika

from tests.podrun.pod import Image

IMAGES = "QUICKSTART_IMAGES"
"""Environment variable with the folder of the built images."""
BROKER = "QUICKSTART_BROKER"
"""Environment variable with the broker's port."""


def docker(arguments: list[str]) -> None:
    """Build an image: a folder with the files that the Dockerfile copies. Push: check that the image was built."""
    store = Path(os.environ[IMAGES])
    if arguments[0] == "push":
        assert (store / folder(arguments[1])).is_dir(), f"{arguments[1]} was not built"
        return
    assert arguments[0] == "build", arguments
    name, context = arguments[arguments.index("--tag") + 1], Path(arguments[-1])
    image = store / folder(name)
    workdir = image
    for line in (context / "Dockerfile").read_text().splitlines():
        instruction, *words = line.split()
        if instruction == "WORKDIR":
            workdir = image / words[0].strip("/")
            workdir.mkdir(parents=True)
            (image / "workdir").write_text(str(workdir))
        elif instruction == "COPY":
            shutil.copy(context / words[0], workdir / words[1])
        else:
            assert instruction == "FROM", f"{instruction} is not known here"


def folder(image: str) -> str:
    """The folder name of an image."""
    return re.sub(r"[^a-z0-9.]", "-", image)


def image(name: str, store: Path, python: str, environment: Mapping[str, str]) -> Image:
    """A built image as a pod runs it: this machine's Python, in the image's working directory."""
    workdir = (store / folder(name) / "workdir").read_text()
    return Image(environment={"PATH": str(Path(python).parent), **environment}, directory=Path(workdir))


def rabbitmqadmin(arguments: list[str]) -> None:
    """Declare a queue, as ``rabbitmqadmin declare queue name=NAME durable=true`` does."""
    options = dict(word.removeprefix("--").split("=", 1) for word in arguments if "=" in word)
    words = [word for word in arguments if "=" not in word]
    assert words == ["declare", "queue"], words
    credentials = pika.PlainCredentials(options["username"], options["password"])
    parameters = pika.ConnectionParameters("127.0.0.1", int(os.environ[BROKER]), credentials=credentials)
    connection = pika.BlockingConnection(parameters)
    connection.channel().queue_declare(options["name"], durable=json.loads(options["durable"]))
    connection.close()


if __name__ == "__main__":
    {"docker": docker, "rabbitmqadmin": rabbitmqadmin}[sys.argv[1]](sys.argv[2:])
