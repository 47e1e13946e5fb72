"""Handlers of the http generation: one for each feature of handlers, and ``any``, which calls them by name."""

HANDLERS = """
import asyncio, collections, dataclasses, datetime, decimal, enum, os, uuid

def echo(payload): return payload
def none(payload): return None
async def later(payload):
    await asyncio.sleep(0)
    return payload
def fail(payload): raise ValueError("no good")
class Special(LookupError): pass
def special(payload): raise Special("rare")
def leave(payload): raise SystemExit(3)
def nan(payload): return float("nan")
def nothing(payload):
    return
    yield
def gen(payload):
    for i in range(payload):
        yield {"i": i}
async def agen(payload):
    for i in range(payload):
        await asyncio.sleep(0)
        yield {"i": i}
def gen_then_fail(payload):
    yield {"i": 0}
    raise ValueError("half way")
def fail_then_gen(payload):
    raise ValueError("at once")
    yield
def wrong(payload):
    yield {"i": 0}
    yield payload
def unserialisable(payload):
    yield {"i": object()}

def commands(payload):
    answers = []
    for command in payload:
        try:
            answers.append((yield tuple(command)))
        except Exception as error:
            answers.append(type(error).__name__ + ": " + str(error))
    yield {"answers": answers}
async def acommands(payload):
    answers = []
    for command in payload:
        answers.append((yield tuple(command)))
    yield {"answers": answers}
def copies(payload):
    rest = yield ("GET", ".route.next")
    rest.append("changed")
    yield {"next": (yield ("GET", ".route.next"))}
def endless(payload):
    try:
        while True:
            yield {"text": "x" * 100000}
    finally:
        with open("closed", "w"):
            pass

class Color(enum.Enum):
    RED = "red"
@dataclasses.dataclass
class Point:
    x: int
    when: datetime.date
Pair = collections.namedtuple("Pair", "left right")
class Model2:
    def model_dump(self, mode):
        return {"mode": mode}
class Model1:
    __fields__ = {}
    def json(self): return '{"a": 1}'
class Array:
    def tolist(self): return [1.5, 2]
def shapes(payload):
    return {
        "model": [Model1(), Model2()],
        "point": Point(1, datetime.date(2026, 1, 2)),
        "pair": Pair(1, (2, 3)),
        "when": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
        "time": [datetime.time(1, 2), datetime.timedelta(seconds=90)],
        "decimal": decimal.Decimal("1.10"),
        "id": uuid.UUID(int=1),
        "color": Color.RED,
        "set": {"b", "a"},
        "array": Array(),
        "keys": {1: "int", uuid.UUID(int=2): "uuid", None: "none"},
        "ordered": collections.OrderedDict(a=collections.deque([1])),
    }
def bytes_(payload): return b"x"
def decimal_nan(payload): return decimal.Decimal("NaN")
def circular(payload):
    value = []
    value.append(value)
    return value

def any(payload):
    name, argument = payload
    return globals()[name](argument)
"""
