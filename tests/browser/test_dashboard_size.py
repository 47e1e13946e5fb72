"""The dashboard with a thousand actors, and how it starts and ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3

from dashboard import server
from dashboard.app import Services
from dashboard.board import Board
from dashboard.ports import Explained, Ports
from dashboard.scraper import Scraper
from tests.browser.chromium import Browser
from tests.browser.scene import HOSTILE, Scene
from tests.harness.clusters import Cluster, free_port

ACTORS = 1000
FIRST_PAINT = 1.0
"""Most seconds from the start of the navigation until actors are visible."""
TRIES = 6
"""Number of measurements. The best counts, because other tests use the same machine."""
COUNT = "return document.querySelectorAll(arguments[0]).length"
FILTER = """
const search = document.getElementById("search");
search.value = "actor-0999";
search.dispatchEvent(new Event("input"));
"""
TIMES = """
const shown = performance.getEntriesByName("actors-shown")[0];
const paint = performance.getEntriesByName("first-contentful-paint")[0];
return shown && paint ? [paint.startTime / 1000, shown.startTime / 1000] : null;
"""


def crowd(number: int, **status: Any) -> dict[str, Any]:
    phase = ("Running", "Napping", "ScalingUp", "ImagePullError")[number % 4]
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "well"}
    pods = {
        "type": "PodsReady",
        "status": "False",
        "reason": "ImagePullError",
        "message": f"{HOSTILE} cannot be pulled",
    }
    return {
        "metadata": {"name": f"actor-{number:04}", "namespace": f"team-{number % 20:02}", "resourceVersion": "1"},
        "spec": {"transport": {"type": "rabbitmq"}, "scaling": {"enabled": True}},
        "status": {
            "phase": phase,
            "conditions": [ready, *([pods] if phase == "ImagePullError" else [])],
            "queueName": f"asya-team-{number % 20:02}-actor-{number:04}",
            "desiredReplicas": 1,
            **status,
        },
    }


@contextmanager
def crowded() -> Iterator[tuple[Board, str]]:
    """A dashboard of a thousand actors, all with ten minutes of queue lengths, and its address."""
    board = Board()
    for number in range(ACTORS):
        board.take_actor(crowd(number), False)
    keys = [(made["ns"], made["name"]) for made in board.changes(None).rows]
    for sample in range(120):
        board.history.sample({key: (n * sample) % 97 for n, key in enumerate(keys)})
    nothing: Any = None
    ports = Ports(lambda namespace, name: Explained())
    services = Services(board, Scraper(nothing, nothing, ""), nothing, nothing, ports, "crowd", "")
    bound, guard = server._bind(services, 0)
    threading.Thread(target=bound.serve_forever, args=(0.1,), daemon=True).start()
    try:
        yield board, f"http://127.0.0.1:{bound.port}/{guard.token}/"
    finally:
        bound.shutdown()


def test_a_thousand_actors_appear_within_a_second(browser: Browser) -> None:
    with crowded() as (board, url):
        measured = []
        for _ in range(TRIES):
            browser.open(url)
            measured.append(browser.until("the first paint", lambda: browser.run(TIMES)))
            if measured[-1][1] < FIRST_PAINT:
                break
        print(f"first paint, actors shown: {measured}")
        assert min(shown for _, shown in measured) < FIRST_PAINT, measured
        browser.until(
            "all rows", lambda: browser.run("return document.querySelectorAll('.row[data-key]').length") == ACTORS
        )
        assert browser.run(COUNT, "section.space") == 20
        board.take_actor(crowd(999, phase="Paused"), False)
        browser.until("the change", lambda: browser.run(COUNT, "[data-key='team-19/actor-0999'] .badge.rest"))
        browser.run(FILTER)
        assert len(browser.all(".row[data-key]")) == 1
        assert browser.driver.title == "Actors · Asya"
        assert browser.problems() == []


@pytest.mark.only("sandbox")
def test_ctrl_c_ends_the_command_at_once(scene: Scene, cluster: Cluster) -> None:
    port = free_port()
    command = [sys.executable, "-m", "cli", "dashboard", "--no-browser", "--port", str(port)]
    options = ["--namespace", scene.space.name, "--kubeconfig", str(cluster.kubeconfig)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores SIGINT
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        signal.signal(signal.SIGINT, before)
        try:
            assert running.stdout is not None
            url = running.stdout.readline().split()[-1]
            assert url.startswith(f"http://127.0.0.1:{port}/")
            with urllib3.request("GET", f"{url}events", preload_content=False) as stream:
                assert any(b"summarizer" in part for part in stream.stream(1 << 20))
                completed = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
                assert (completed.returncode, completed.stdout) == (1, "")
                assert (
                    completed.stderr
                    == f"error: --port: {port} of 127.0.0.1 is taken; choose another, or omit the option\n"
                )
                start_time = time.monotonic()
                os.kill(running.pid, signal.SIGINT)
                assert running.wait(10) == 0
                assert time.monotonic() - start_time < 2
        finally:
            running.kill()
        assert running.stderr is not None
        assert running.stderr.read() == ""
