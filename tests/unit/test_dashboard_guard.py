"""Which requests the dashboard accepts, and what it never sends."""

import json
import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from controller.rules.remedies import REMEDIES, general
from controller.rules.status import workload_not_found, workload_not_labelled
from dashboard.app import Services, make_app, stream
from dashboard.board import Board
from dashboard.detail import known_secrets, shown_condition, split_remedy
from dashboard.guard import Guard
from dashboard.ports import Explained, Letter, Ports, Refused
from dashboard.redact import HIDDEN, plain_secrets, redact, redact_all
from dashboard.scraper import Scraper
from tests.unit.test_dashboard_model import an_actor

PORT = 4321
HERE = f"127.0.0.1:{PORT}"
MARK = "mArKeD"


class Actions:
    """Dead letters and a pauser that record their calls."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def list(self, namespace: str, actor: str) -> list[Letter]:
        return [Letter("1", "x-sump", "ValueError", json.dumps({"password": MARK, "max_tokens": 512}))]

    def lengths(self, namespace: str, actor: str) -> dict[str, int | None]:
        return {"q": 3, "gone": None}

    def close(self) -> None:
        pass

    def replay(self, namespace: str, actor: str, ids: Any) -> str:
        self.done.append(("replay", namespace, actor, ids))
        return "1 replayed"

    def pause(self, namespace: str, actor: str) -> str:
        self.done.append(("pause", namespace, actor))
        return "paused"

    def resume(self, namespace: str, actor: str) -> str:
        raise Refused(f"amqp://u:{MARK}@r/ refuses")


@pytest.fixture
def actions() -> Actions:
    return Actions()


@pytest.fixture
def guard() -> Guard:
    return Guard(PORT)


@pytest.fixture
def client(guard: Guard, actions: Actions) -> FlaskClient:
    board = Board()
    board.take_actor(an_actor(), False)
    nothing: Any = None
    ports = Ports(lambda namespace, name: Explained(), actions, actions)
    services = Services(board, Scraper(nothing, nothing, ""), nothing, nothing, ports, "test", "")
    return make_app(services, guard).test_client()


def get(client: FlaskClient, path: str, **headers: str) -> Any:
    return client.get(path, headers={"Host": HERE, **{k.replace("_", "-"): v for k, v in headers.items()}})


def post(client: FlaskClient, path: str, body: Any = None, **headers: str) -> Any:
    given = {"Host": HERE, "Origin": f"http://{HERE}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return client.post(path, json={} if body is None else body, headers={k: v for k, v in given.items() if v})


def test_the_page_has_a_strict_policy_and_is_never_cached(client: FlaskClient, guard: Guard) -> None:
    page = get(client, f"/{guard.token}/")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    for name in ("dashboard.css", "main.js", "actors.js", "icon.svg"):
        part = get(client, f"/{guard.token}/static/{name}")
        assert part.status_code == 200
        assert part.headers["Content-Security-Policy"] == policy
        assert b"://" not in part.data.replace(b"http://www.w3.org/2000/svg", b""), "the policy allows other hosts"


@pytest.mark.parametrize("path", ["/", "/x/", "/x/events", "/static/main.js", "/x/actors/ns/a", "/open/x", "//"])
def test_without_the_token_every_request_is_refused(client: FlaskClient, path: str) -> None:
    refused = get(client, path)
    assert refused.status_code in (308, 404)
    assert b"asya-ns-a" not in refused.data


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", "", f"[::1]:{PORT}"]
)
def test_a_rebound_host_name_is_refused_even_with_the_token(client: FlaskClient, guard: Guard, host: str) -> None:
    assert get(client, f"/{guard.token}/", Host=host).status_code == 403
    assert post(client, f"/{guard.token}/actors/ns/a/pause", Host=host).status_code in (400, 403)


def test_localhost_is_accepted_too(client: FlaskClient, guard: Guard) -> None:
    assert get(client, f"/{guard.token}/", Host=f"localhost:{PORT}").status_code == 200


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example", "http://127.0.0.1:1", f"https://{HERE}"])
def test_an_action_from_another_page_is_refused(
    client: FlaskClient, guard: Guard, actions: Actions, origin: str
) -> None:
    assert post(client, f"/{guard.token}/actors/ns/a/pause", Origin=origin).status_code == 403
    assert actions.done == []


def test_a_form_or_a_link_cannot_act(client: FlaskClient, guard: Guard, actions: Actions) -> None:
    path, headers = f"/{guard.token}/actors/ns/a/pause", {"Host": HERE, "Origin": f"http://{HERE}"}
    assert client.post(path, data="a=1", headers=headers).status_code == 403
    assert client.post(path, data="{}", content_type="text/plain", headers=headers).status_code == 403
    assert get(client, path).status_code in (404, 405)
    assert get(client, f"/{guard.token}/", Sec_Fetch_Site="cross-site").status_code == 403
    assert actions.done == []


def test_actions_run_and_refusals_are_reported(client: FlaskClient, guard: Guard, actions: Actions) -> None:
    base = f"/{guard.token}/actors/ns/a"
    assert post(client, f"{base}/pause").get_json() == {"done": "paused"}
    assert post(client, f"{base}/replay", {"ids": ["1"]}).get_json() == {"done": "1 replayed"}
    assert actions.done == [("pause", "ns", "a"), ("replay", "ns", "a", ["1"])]
    refused = post(client, f"{base}/resume")
    assert (refused.status_code, refused.get_json()) == (409, {"error": f"amqp://{HIDDEN}@r/ refuses"})
    assert post(client, f"{base}/replay", {"all": True}).status_code == 200
    assert actions.done.pop() == ("replay", "ns", "a", None)
    for ids in (None, [], "1", [1], [""], ["1"] * 2000):
        assert post(client, f"{base}/replay", {"ids": ids}).status_code == 409
    assert post(client, f"/{guard.token}/actors/ns/nobody/pause").status_code == 404
    assert post(client, f"{base}/delete").status_code == 404
    assert len(actions.done) == 2


def test_the_opening_address_works_once(client: FlaskClient, guard: Guard) -> None:
    opening = guard.opening
    first = get(client, opening)
    assert (first.status_code, first.headers["Location"]) == (303, f"/{guard.token}/")
    assert get(client, opening).status_code == 404
    other = Guard(PORT)
    assert not other.opens("wrong")
    assert not other.opens(other.opening), "one wrong guess must invalidate it"
    assert not other.opens("")


def test_letters_are_shown_without_secrets(client: FlaskClient, guard: Guard) -> None:
    shown = get(client, f"/{guard.token}/actors/ns/a/letters").get_json()["letters"][0]
    assert MARK not in shown["text"]
    assert "512" in shown["text"], "a number of tokens is not a secret"
    assert get(client, f"/{guard.token}/actors/ns/a/lengths").get_json() == {"lengths": {"q": 3, "gone": None}}


def test_a_stream_sends_everything_and_then_changes(client: FlaskClient) -> None:
    board = Board()
    board.take_actor(an_actor("a"), False)
    nothing: Any = None
    ports = Ports(lambda namespace, name: None)
    services = Services(board, Scraper(nothing, nothing, ""), nothing, nothing, ports, "test", "")
    events = stream(services, "", ping=0.01)
    kind, first, data = _parsed(next(events))
    assert (kind, [made["name"] for made in data["rows"]]) == ("snapshot", ["a"])
    assert next(events) == b": still here\n\n"
    board.take_actor(an_actor("b"), False)
    board.tick()
    kind, second, data = _parsed(next(events))
    assert (kind, [made["name"] for made in data["rows"]]) == ("change", ["b"])
    assert _parsed(next(events))[0] == "tick"
    kind, _, data = _parsed(next(stream(services, first)))
    assert (kind, [made["name"] for made in data["rows"]]) == ("change", ["b"]), "after a lost connection"
    assert _parsed(next(stream(services, second)))[2]["rows"] == []
    assert _parsed(next(stream(services, "00000000-1")))[0] == "snapshot", "of another run"


def _parsed(event: bytes) -> tuple[str, str, Any]:
    kind, last, data = (line.partition(": ")[2] for line in event.decode().strip().split("\n"))
    return kind, last, json.loads(data)


@pytest.mark.parametrize(
    "text",
    [
        f"amqp://user:{MARK}@host:5672/",
        f"amqps://user:p@ss/{MARK}#1@host/vhost",
        f"dial https://{MARK}@host failed",
        f"PASSWORD={MARK}",
        f"AWS_SECRET_ACCESS_KEY: {MARK}",
        f'{{"password": "{MARK}", "n": 1}}',
        f'{{\\"apiKey\\": \\"{MARK}\\"}}',
        f'{{"token": "a\\"{MARK}"}}',
        f"Authorization: Bearer {MARK}",
        f"authorization={MARK}; x",
        f"--db-password='{MARK} {MARK}'",
    ],
)
def test_credentials_are_hidden(text: str) -> None:
    assert MARK not in redact(text)
    assert HIDDEN in redact(text)
    assert MARK not in json.dumps(redact_all({"a": [text]}))


@pytest.mark.parametrize(
    "text",
    [
        "see https://keda.sh/docs/latest/deploy/",
        '{"max_tokens": 512, "tokens": 3}',
        "the Secret 'rabbitmq' is missing; mail me@example.com",
        *[general(cause) for cause in REMEDIES],
    ],
)
def test_other_text_does_not_change(text: str) -> None:
    assert redact(text) == text


@given(st.text(), st.text(alphabet="abcXYZ01", min_size=4))
def test_a_known_secret_appears_nowhere(text: str, secret: str) -> None:
    assert secret not in redact(f"{text}{secret}{text}", [secret]) or secret in HIDDEN


@pytest.mark.parametrize(
    "piece", ["a", "password", "http://", "token: ", "secret='", 'password=\\"', "authorization: "]
)
def test_a_hostile_line_takes_no_longer_than_others(piece: str) -> None:
    began = time.process_time()
    redact(piece * (200_000 // len(piece)))
    assert time.process_time() - began < 2


def test_plain_values_of_secret_variables_are_known() -> None:
    env = [
        {"name": "DB_PASSWORD", "value": "long-enough"},
        {"name": "API_TOKEN", "value": "abc"},
        {"name": "MODE", "value": "payload"},
        {"name": "KEY_SECRET", "valueFrom": {}},
    ]
    spec = {"containers": [{"name": "runtime", "env": env}]}
    assert plain_secrets([spec]) == ["long-enough"], "hiding 'abc' would hide parts of many words"
    workload = {"spec": {"template": {"spec": spec}}}
    assert known_secrets(Explained(workloads=[workload]), []) == ["long-enough"]


def test_the_remedy_of_a_condition_is_separate() -> None:
    for verdict in (workload_not_found("Deployment", "web"), workload_not_labelled("Deployment", "web", "a")):
        what, do = split_remedy(verdict.message)
        assert what.endswith(".")
        assert "'web'" in what
        assert do.split()[0] in ("Create", "Run:")
    assert split_remedy("all is well") == ("all is well", "")
    shown = shown_condition(
        {"type": "T", "status": "False", "reason": "R", "message": f"at amqp://a:{MARK}@b/. Create it"}
    )
    assert MARK not in json.dumps(shown)
