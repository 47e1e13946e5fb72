"""Results that are pydantic models of both major versions, with pydantic itself."""

from typing import Any

import pytest

from tests.harness.script import Script

HANDLERS = """
import datetime, decimal, enum, typing, uuid
import pydantic
from pydantic import v1

class Color(enum.Enum):
    RED = "red"

WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
ID = uuid.UUID(int=1)

class Inner(pydantic.BaseModel):
    price: decimal.Decimal
    when: datetime.datetime

class Outer(pydantic.BaseModel):
    id: uuid.UUID
    color: Color
    inner: Inner
    tags: typing.Set[str]
    secret: pydantic.SecretStr = pydantic.SecretStr("hidden")
    none: typing.Optional[int] = None

class Many(pydantic.RootModel[typing.List[Inner]]):
    pass

@pydantic.dataclasses.dataclass
class Point:
    x: int
    when: datetime.date

class Number(pydantic.BaseModel):
    value: float

class OldInner(v1.BaseModel):
    price: decimal.Decimal
    when: datetime.datetime

class Old(v1.BaseModel):
    id: uuid.UUID
    color: Color
    inner: OldInner
    none: typing.Optional[int] = None

class OldNumber(v1.BaseModel):
    value: float

INNER = {"price": "1.10", "when": WHEN}

def outer(): return Outer(id=ID, color="red", inner=INNER, tags={"a"})
def many(): return Many([INNER])
def point(): return Point(1, WHEN.date())
def nested(): return {"list": [outer(), (Inner(**INNER),)], "map": {ID: Inner(**INNER)}}
def old(): return Old(id=ID, color="red", inner=INNER)
def nan(): return Number(value=float("nan"))
def old_nan(): return OldNumber(value=float("nan"))

def model(payload): return globals()[payload]()
def stream(payload):
    yield globals()[payload]()
    yield ("SET", ".headers.model", globals()[payload]())
    yield {"n": 1}
"""
INNER = {"price": "1.10", "when": "2026-01-02T03:04:05Z"}
OUTER = {
    "id": "00000000-0000-0000-0000-000000000001",
    "color": "red",
    "inner": INNER,
    "tags": ["a"],
    "secret": "**********",
    "none": None,
}
OLD = {
    "id": OUTER["id"],
    "color": "red",
    "inner": {"price": 1.1, "when": "2026-01-02T03:04:05+00:00"},
    "none": None,
}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One script for all tests."""
    one = Script(tmp_path_factory.mktemp("models"), HANDLERS, "handlers.model")
    yield one
    one.process.kill()
    one.process.wait()


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("outer", OUTER),
        ("many", [INNER]),
        ("point", {"x": 1, "when": "2026-01-02"}),
        ("nested", {"list": [OUTER, [INNER]], "map": {OUTER["id"]: INNER}}),
        ("old", OLD),
    ],
)
def test_a_model_has_pydantics_json_form(script: Script, name: str, result: Any) -> None:
    assert script.post(name)[1]["frames"][0]["payload"] == result
    frames = script.call(name)
    assert [frame["payload"] for frame in frames] == [result]


@pytest.mark.parametrize("name", ["nan", "old_nan"])
def test_a_model_without_a_json_form_is_an_error(script: Script, name: str) -> None:
    status, failure = script.post(name)
    assert (status, failure["error"]) == (500, "processing_error")
    assert script.call(name)[0]["error"] == "processing_error"


def test_models_in_a_stream_and_in_headers(scripts: Any) -> None:
    one = scripts(HANDLERS, "handlers.stream")
    for name, result in (("outer", OUTER), ("old", OLD)):
        _status, stream = one.post(name)
        assert [event for event, _ in stream] == ["downstream", "downstream", "done"]
        assert stream[0][1]["payload"] == result
        assert stream[1][1]["headers"] == {"h": 1, "model": result}
