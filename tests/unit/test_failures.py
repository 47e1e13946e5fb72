"""Three kinds of failures. One object never slows down another."""

import pytest

from kube.failures import ApiError, Failure, failure_of
from kube.throttle import SUSPECTS, Throttle


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (0, "no answer", "unwell"),
        (429, "too many requests", "unwell"),
        (500, "etcdserver: request timed out", "unwell"),
        (503, "", "unwell"),
        (500, "failed to create typed patch object (x/a; apps/v1, Kind=Deployment): expected list", "terminal"),
        (429, 'admission webhook "quota.example.com" denied the request: slowly', "terminal"),
        (503, 'admission webhook "x" denied the request: no', "terminal"),
        (500, 'Internal error occurred: failed calling webhook "x": timeout', "conflict"),
        (404, "not found", "conflict"),
        (409, "modified", "conflict"),
        (410, "expired", "conflict"),
        (400, "bad", "terminal"),
        (403, "forbidden", "terminal"),
        (422, "invalid", "terminal"),
    ],
)
def test_the_kind_of_a_failure(code: int, message: str, kind: Failure) -> None:
    assert failure_of(code, message) == kind
    assert ApiError(code, "", message).is_server_unwell is (kind == "unwell")


def test_an_unreachable_webhook_refuses_the_object_and_is_no_server_failure() -> None:
    error = ApiError(500, "InternalError", 'failed calling webhook "x": no endpoints')
    assert error.is_refusal
    assert not error.is_server_unwell


def test_one_object_that_always_fails_delays_no_other() -> None:
    throttle = Throttle()
    for _ in range(50):
        throttle.failed(about="/apis/apps/v1/namespaces/x/deployments/bad")
    assert all(throttle._reserve(1.0) == 0.0 for _ in range(20))


def test_a_server_that_fails_at_every_request_gets_fewer() -> None:
    throttle = Throttle()
    for number in range(SUSPECTS):
        throttle.failed(about=f"/{number}")
    assert (throttle._reserve(10.0) or 0.0) > 0.0


def test_a_success_in_between_clears_the_suspicion() -> None:
    throttle = Throttle()
    for number in range(10):
        throttle.failed(about=f"/{number}")
        throttle.succeeded()
    assert throttle._reserve(10.0) == 0.0
