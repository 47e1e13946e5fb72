"""Messages of each generation: created, read, and replayed as they were before they failed."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injection.generations import Generation
from messages.envelope import CannotReplay, Message, envelope, preview, replayed

GENERATIONS: tuple[Generation, ...] = ("frames", "frames-namespaced", "http")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)


def failed(generation: Generation, message: dict[str, Any], **more: Any) -> Message:
    """A sidecar's message to the end of the route, after its handler failed."""
    details = {"message": "no good", "type": "ValueError", "traceback": "…"}
    payload = {"error": "processing_error", "details": details, "original_payload": message["payload"]}
    made = {"id": message["id"], "route": message["route"], "payload": payload, **more}
    if generation == "http":
        made["status"] = {
            "phase": "failed",
            "actor": "a",
            "reason": "RuntimeError",
            "deadline_at": "2026-01-01T00:00:00Z",
        }
    return Message(json.dumps(made).encode(), is_dead=generation != "http")


@pytest.mark.parametrize("generation", GENERATIONS)
@settings(max_examples=50)
@given(route=st.lists(NAMES, min_size=1, max_size=4), payload=JSON, name=st.uuids())
def test_a_failed_message_is_replayed_unchanged(
    generation: Generation, route: list[str], payload: Any, name: Any
) -> None:
    sent = envelope(generation, route, payload, str(name))
    actor, body = replayed(failed(generation, sent))
    assert actor == route[0]
    assert json.loads(body) == sent


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_route_of_an_envelope(generation: Generation) -> None:
    message = Message(json.dumps(envelope(generation, ["a", "b", "c"], 1, "m", {"trace": "t"})).encode())
    assert message.route == ([], "a", ["b", "c"])
    assert (message.message_id, message.actor, message.error, message.fields["headers"]) == (
        "m",
        "a",
        "",
        {"trace": "t"},
    )


@pytest.mark.parametrize(
    ("body", "actor", "error"),
    [
        ({"id": "1", "route": {"actors": ["a", "b"], "current": 1}, "payload": 1}, "b", ""),
        ({"id": "1", "route": {"actors": ["a", "b"], "current": 2}, "payload": 1}, "b", ""),
        ({"id": "1", "route": {"prev": ["a"], "curr": "", "next": []}, "payload": {"error": "a user's word"}}, "a", ""),
        ({"id": "1", "route": None, "payload": {"error": "e", "details": None}}, "", "e"),
        ({"id": 7, "status": {"phase": "failed", "reason": "Timeout"}, "payload": None}, "", "Timeout"),
        ([1], "", ""),
        ("text", "", ""),
    ],
)
def test_messages_of_any_form_are_read(body: Any, actor: str, error: str) -> None:
    message = Message(json.dumps(body).encode())
    assert (message.actor, message.error) == (actor, error)
    assert message.summary()


@given(st.binary())
def test_any_body_can_be_shown(body: bytes) -> None:
    message = Message(body, is_dead=True)
    assert len(message.summary()) <= 200
    message.matches("a", "b", "c")
    with suppress(CannotReplay):
        replayed(message)


def test_a_message_with_a_null_payload() -> None:
    message = {"id": "1", "route": {"actors": ["a"], "current": 0}, "payload": {"error": "Runtime timeout exceeded"}}
    dead = Message(json.dumps(message).encode(), is_dead=True)
    assert dead.error == "Runtime timeout exceeded"
    assert json.loads(replayed(dead)[1])["payload"] is None


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"id": "1", "route": {"prev": ["a"], "curr": "", "next": []}, "payload": 1}, "at the end of its route"),
        ({"id": "1", "route": {"actors": ["error-end"], "current": 0}, "payload": 1}, "leads to error-end"),
        ({"id": "", "route": {"prev": [], "curr": "x-sump", "next": []}, "payload": 1}, "no envelope"),
    ],
)
def test_an_impossible_replay_gives_the_reason(message: Any, why: str) -> None:
    with pytest.raises(CannotReplay, match=why):
        replayed(Message(json.dumps(message).encode()))


def test_a_filter_checks_actor_error_and_id() -> None:
    message = failed("http", envelope("http", ["a"], {"n": 1}, "m1"))
    assert message.matches()
    assert message.matches("a", "valueerror", "m1")
    assert message.matches(error="NO GOOD")
    assert not message.matches("b")
    assert not message.matches(error="timeout")
    assert not message.matches(message_id="m2")


def test_a_preview_is_one_short_line() -> None:
    assert preview({"text": "a\nb"}) == '{"text": "a\\nb"}'
    assert len(preview("x" * 10_000)) == 200
