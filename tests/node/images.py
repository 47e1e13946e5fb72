"""Builds the images of the tests if possible, and puts them onto the node."""

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.harness.clusters import ROOT

OPERATOR = os.environ.get("E2E_IMAGE") or "asya-operator:e2e"
MOTO = "asya-moto:e2e"
USER = "asya-user:e2e"


def why_none(context: str) -> str:
    """Why no image can be put onto the node. Empty if it is possible."""
    if os.environ.get("E2E_IMAGE_COMMAND"):
        return ""
    if shutil.which("docker") is None:
        return "docker is not installed; E2E_IMAGE_COMMAND names a command that takes NAME:TAG and a folder instead"
    tool = "kind" if context.startswith("kind-") else "minikube"
    return "" if shutil.which(tool) else f"{tool} is not installed, so no image can be loaded onto the node"


def put(context: str, name: str, folder: Path) -> None:
    """Build a folder's Dockerfile as ``name`` and put it onto the node of ``context``."""
    command = os.environ.get("E2E_IMAGE_COMMAND")
    if command:
        _run(*shlex.split(command), name, str(folder))
        return
    _run("docker", "build", "--quiet", "--tag", name, str(folder))
    if context.startswith("kind-"):
        _run("kind", "load", "docker-image", name, "--name", context.removeprefix("kind-"))
    else:
        _run("minikube", "--profile", context, "image", "load", name)


def put_sidecar(context: str, name: str) -> None:
    """The test sidecar of the http generation as an image, for clusters that cannot pull the released one."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "tests"
        shutil.copytree(ROOT / "tests/podrun", package / "podrun", ignore=shutil.ignore_patterns("__pycache__"))
        (package / "__init__.py").touch()
        (Path(folder) / "Dockerfile").write_text(
            "FROM python:3.13-slim\nRUN pip install --no-cache-dir 'pika>=1.3' 'boto3>=1.40'\n"
            "RUN echo app:x:1000:1000:app:/app:/bin/sh >> /etc/passwd\n"
            "COPY tests /app/tests\nWORKDIR /app\nENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1\nUSER app\n"
            'ENTRYPOINT ["python3", "-m", "tests.podrun.sidecar", "http"]\n'
        )
        put(context, name, Path(folder))


def put_moto(context: str, name: str) -> None:
    """An image with moto, an SQS server."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(
            "FROM python:3.13-slim\nRUN pip install --no-cache-dir 'moto[sqs]>=5.2,<6' 'flask>=3.1' 'flask-cors>=6'\n"
            'ENTRYPOINT ["moto_server", "-H", "0.0.0.0", "-p", "5000"]\n'
        )
        put(context, name, Path(folder))


def put_user(context: str, name: str) -> None:
    """A Python image with a numeric user."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text("FROM python:3.13-slim\nUSER 4711:4712\n")
        put(context, name, Path(folder))


def _run(*command: str) -> None:
    completed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if completed.returncode:
        raise SystemExit(f"{shlex.join(command)} failed:\n{(completed.stderr or completed.stdout)[-2000:]}")
