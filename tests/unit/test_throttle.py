"""Throttling of requests: hardly any while the API server is healthy, almost all while it is not."""

import threading
import time

from kube.throttle import Throttle


def test_nothing_is_delayed_while_the_server_is_healthy() -> None:
    throttle = Throttle()
    began = time.monotonic()
    assert all(throttle.wait(0) for _ in range(300))
    assert time.monotonic() - began < 0.2


def test_a_flood_is_limited() -> None:
    throttle = Throttle(normal=100, burst=10)
    began = time.monotonic()
    for _ in range(30):
        throttle.wait(10)
    assert 0.15 < time.monotonic() - began < 1


def test_after_a_failure_requests_go_one_by_one_until_one_succeeds() -> None:
    throttle = Throttle(failing=5)
    throttle.failed()
    passed: list[float] = []

    def ask() -> None:
        throttle.wait(60)
        passed.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(20)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(1)
    assert 2 <= len(passed) <= 6
    throttle.succeeded()
    for thread in threads:
        thread.join(1)
    assert len(passed) == 20
    assert time.monotonic() - began < 2


def test_a_request_with_a_too_long_wait_fails_at_once() -> None:
    throttle = Throttle()
    throttle.failed(retry_after=20)
    began = time.monotonic()
    assert not throttle.wait(5)
    assert time.monotonic() - began < 0.1


def test_retry_after_is_respected_up_to_a_limit() -> None:
    throttle = Throttle(failing=1000)
    throttle.failed(retry_after=0.3)
    began = time.monotonic()
    assert throttle.wait(5)
    assert 0.25 < time.monotonic() - began < 1
    throttle.failed(retry_after=86400)
    assert throttle._reserve(3600) is not None
