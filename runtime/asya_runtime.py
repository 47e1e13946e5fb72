"""Asya runtime: calls the user's function for each message that the sidecar sends over a Unix socket.

One script serves every generation of the sidecar. A sidecar opens a connection for each message:

- frames: a 4-byte big-endian length and that many bytes of JSON; the response is a frame with a JSON array;
- http: ``POST /invoke``; the response is JSON, 204, or an event stream when the function is a generator.

HTTP starts with a capital letter, which would be a frame above 1 GB. The route's keys decide how it advances.

Modes: none for the runtime; ``hold`` for the socket holder, which keeps the socket open while a runtime restarts;
``ready`` for an exec probe. Standard library only, Python 3.7 and newer: it runs in the user's image.
"""

import os
import select
import signal
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SOCKET_NAME = "asya-runtime.sock"
"""The name that every sidecar expects."""
HOLDER_NAME = "asya-holder.sock"
LAST_SECONDS = 10.0
"""Delay before the holder closes waiting connections after the pod's last runtime."""
DEFAULT_DIRECTORY = "/var/run/asya"
BACKLOG = 128
WAITING_LIMIT = 64
"""Limit of connections without a whole message."""


class Refused(Exception):
    """The runtime cannot start. The message names the setting, its value and the fix."""


def log(text):
    try:
        print("asya-runtime: " + text, file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        pass  # a closed stderr must not end the process


# -- settings


class Settings:

    def __init__(self, env):
        directory = env.get("ASYA_SOCKET_DIR") or DEFAULT_DIRECTORY
        self.path = env.get("ASYA_SOCKET_PATH") or os.path.join(directory, SOCKET_NAME)
        self.directory = os.path.dirname(self.path) or "."
        self.link = os.path.join(self.directory, SOCKET_NAME)
        self.ready = os.path.join(self.directory, "runtime-ready")
        self.chmod = _number(env, "ASYA_SOCKET_CHMOD", "0o666", _octal, "an octal mode such as 0o660")
        self.holder = env.get("ASYA_SOCKET_HOLDER") or ""


def _octal(text):
    return int(text, 8)


def _number(env, name, default, read, expected):
    text = (env.get(name) or default).strip()
    try:
        value = read(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise Refused("%s is %r: set it to %s" % (name, text, expected))
    return value


# -- sockets


def readable(sockets, seconds):
    """Wait up to ``seconds``; return those ``sockets`` that have data or are closed."""
    poller = select.poll()  # not select(): the user's code may have more than 1024 open files
    for sock in sockets:
        poller.register(sock, select.POLLIN)
    ready = {number for number, _event in poller.poll(None if seconds is None else max(0.0, seconds) * 1000)}
    return [sock for sock in sockets if sock.fileno() in ready]


def listen(path, chmod):
    """Return a listening socket at ``path``. It atomically replaces an existing file."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = os.path.join(os.path.dirname(path), ".asya%d" % os.getpid())
    try:
        remove(new)
        listener.bind(new)
        os.chmod(new, chmod)
        listener.listen(BACKLOG)
        os.rename(new, path)
    except OSError as failure:
        listener.close()
        raise Refused("cannot listen on %s (%s): check ASYA_SOCKET_PATH and its volume" % (path, failure))
    listener.setblocking(False)
    return listener


def link_to(path, link):
    if link != path:
        new = os.path.join(os.path.dirname(link), ".asya%d" % os.getpid())
        remove(new)
        os.symlink(os.path.basename(path), new)
        os.rename(new, link)


def remove(*paths):
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


# -- the socket holder (mode hold)


class Holder:
    """Keeps the listening socket open while runtimes restart, and passes it to each that connects.

    Without a runtime, connections wait in the backlog. Each runtime keeps its connection to the holder open, to
    detect when the holder is replaced.
    """

    def __init__(self, settings):
        self.settings = settings
        self.path = settings.holder or os.path.join(settings.directory, HOLDER_NAME)
        os.makedirs(settings.directory, exist_ok=True)
        self.listener = listen(settings.path, settings.chmod)
        link_to(settings.path, settings.link)
        self.control = listen(self.path, settings.chmod)
        self.runtimes = []
        self.ends_at = None

    def run(self):
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        log("holds %s" % self.settings.path)
        while True:  # poll at most 1 s: a signal just before the poll is handled only after it
            for sock in readable([self.control] + self.runtimes, 1.0):
                if sock is self.control:
                    self.ends_at = None
                    self.pass_socket()
                else:
                    self.check(sock)
            if self.ends_at is not None and time.monotonic() >= self.ends_at:
                self.close_waiting()

    def pass_socket(self):
        try:
            runtime = self.control.accept()[0]
        except OSError:
            return  # the client has gone
        runtime.setblocking(False)
        number = self.listener.fileno().to_bytes(4, sys.byteorder)
        try:
            runtime.sendmsg([b"1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, number)])
        except OSError:
            runtime.close()
            return
        self.runtimes.append(runtime)
        while len(self.runtimes) > WAITING_LIMIT:
            self.runtimes.pop(0).close()  # that runtime connects again

    def check(self, runtime):
        """Drop a runtime that has gone. Data from one means that no other will follow it."""
        try:
            if runtime.recv(4096):
                self.ends_at = time.monotonic() + LAST_SECONDS
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.runtimes.remove(runtime)
        runtime.close()
        if not self.runtimes:
            remove(self.settings.ready)

    def close_waiting(self):
        """Close the waiting connections, because no runtime will serve them.

        After SIGTERM, a frames sidecar waits for its current message. When the connection closes, the broker delivers
        that message again. Before SIGTERM, the message would fail.
        """
        try:
            while True:
                self.listener.accept()[0].close()
        except OSError:
            return

    def stop(self, _number, _frame):
        remove(self.path, self.settings.path, self.settings.link, self.settings.ready)
        os._exit(0)


def hold():
    """Hold the socket. Only the part of this file before the mark is loaded (see HOLD)."""
    try:
        Holder(Settings(os.environ)).run()
    except Refused as refused:
        log(str(refused))
        os._exit(1)


def take_socket(path):
    """Return the connection to the holder at ``path``, and the listening socket from it."""
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.settimeout(5.0)
        holder.connect(path)
        _data, ancillary, _flags, _address = holder.recvmsg(1, socket.CMSG_SPACE(4))
        if not ancillary:
            raise OSError("the holder sent no socket")
        listener = socket.socket(fileno=int.from_bytes(ancillary[0][2][:4], sys.byteorder))
    except OSError:
        holder.close()
        raise
    listener.set_inheritable(False)
    listener.setblocking(False)
    return holder, listener


# -- end of the socket holder

import asyncio
import atexit
import collections.abc
import faulthandler
import fcntl
import importlib
import inspect
import json
import re
import threading
import traceback
from http import HTTPStatus

DEFAULT_MAX_SIZE = 10 * 1024 * 1024
LARGEST_FRAME = 0x40FFFFFF
"""Size in bytes of the largest frame whose length does not look like an HTTP method."""
HEAD_LIMIT = 64 * 1024
EVENT_LIMIT = 16 * 1024 * 1024 - 1024
"""Size in bytes of the largest event: the sidecar's lines are below 16 MiB."""
TEXT_LIMIT = 256 * 1024
"""Maximum characters of an error's message, and of its traceback."""
FIRST_SECONDS = 0.02
"""Time to wait for a client's first bytes before others are served."""
CLIENT_SECONDS = 30.0
"""Timeout for a client that sends a message or reads a response; even large ones need less than 1 s."""
ARRIVAL_SECONDS = 0.3
"""Time for partly received messages when the runtime stops accepting."""
HOLDER_SECONDS = 60.0
"""How long a starting runtime waits for the socket holder."""
PATIENCE_SECONDS = 5.0
"""How much longer than ASYA_RUNTIME_TIMEOUT a function may take."""
LINGER_SECONDS = 1.0
"""Time from the last response to the exit, for the sidecar to publish and acknowledge."""
PUBLISH_SECONDS = 0.3
"""Time from the last response to the response to /drain."""
RESUME_SECONDS = 30.0
"""Time after /drain without a SIGTERM until the runtime accepts messages again."""
END_SECONDS = 5.0
"""Time for tasks, threads and exit functions of the user's code before the exit."""


class BadMessage(Exception):
    """The message is invalid; the text says why."""


class CutShort(BadMessage):
    """The client closed the connection too early."""


class ClientGone(Exception):
    pass


class RuntimeSettings(Settings):

    def __init__(self, env):
        super().__init__(env)
        size = _number(env, "ASYA_SOCKET_MAX_SIZE", str(DEFAULT_MAX_SIZE), int, "a number of bytes such as 10485760")
        self.max_size = min(size, LARGEST_FRAME)
        self.handler = env.get("ASYA_HANDLER") or ""
        self.mode = (env.get("ASYA_HANDLER_MODE") or "payload").lower()
        if self.mode not in ("payload", "envelope"):
            raise Refused("ASYA_HANDLER_MODE is %r: set it to payload or envelope" % self.mode)
        self.port = _number(env, "ASYA_RUNTIME_PORT", "0", int, "a port number such as 9096")
        self.timeout = _number(env, "ASYA_RUNTIME_TIMEOUT", "0", _duration, "a duration such as 300s or 5m")
        self.job_messages = _number(env, "ASYA_JOB_MESSAGES", "0", int, "a number of messages such as 1")
        self.job_idle = _number(env, "ASYA_JOB_IDLE_SECONDS", "0", float, "a number of seconds such as 30")


UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}


def _duration(text):
    """Seconds of a Go duration such as ``1m30s``, or of a bare number."""
    pairs = re.findall(r"([0-9.]+)(h|ms|m|s)", text)
    if not pairs or "".join(number + unit for number, unit in pairs) != text:
        return float(text)
    return sum(float(number) * UNITS[unit] for number, unit in pairs)


# -- readiness by file (mode ready)


class ReadyFile:
    """The file ``runtime-ready``. The sidecar waits until it exists; a probe checks its lock.

    With a socket holder, the file outlives the runtime; the lock ends with the process.
    """

    def __init__(self, path):
        self.path = path
        self.file = None

    def lock(self):
        self.file = open(self.path, "a")
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX)
        except OSError as failure:
            log("cannot lock %s (%s): exec probes fail" % (self.path, failure))

    def unlock(self):
        if self.file is not None:
            self.file.close()
            self.file = None

    def is_locked(self):
        try:
            with open(self.path, "r+") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False


# -- results and errors as JSON


def plain(value):
    """Return a deep copy of ``value`` with only dicts, lists, strings, numbers, booleans and None.

    Raises:
        TypeError: ``value`` has no JSON form.
    """
    kind = type(value)
    if kind in (str, int, float, bool, type(None)):
        return value
    if kind is dict:
        return {key if type(key) is str else _key(key): plain(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [plain(item) for item in value]
    return _plain_object(value)


def _key(key):
    """Return a key as a string: json.dumps refuses dates, UUIDs and enums."""
    text = plain(key)
    if isinstance(text, (dict, list)):
        raise TypeError("a key of type %s has no JSON form: use a string" % type(key).__name__)
    return text if isinstance(text, str) else json.dumps(text, allow_nan=False)


CONVERTERS = {  # type: dict[Any, Any]
    ("enum", "Enum"): lambda value: plain(value.value),
    ("datetime", "date"): lambda value: value.isoformat(),  # also datetime.datetime
    ("datetime", "time"): lambda value: value.isoformat(),
    ("datetime", "timedelta"): lambda value: value.total_seconds(),
    ("decimal", "Decimal"): lambda value: str(value) if value.is_finite() else float(value),  # NaN fails later
    ("uuid", "UUID"): str,
}
"""Converters by module and class name, so that the modules need no import here."""


def _plain_object(value):
    kind = type(value)
    for base in kind.__mro__:
        convert = CONVERTERS.get((base.__module__, base.__qualname__))
        if convert is not None:
            return convert(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if callable(getattr(kind, "model_dump", None)):  # pydantic 2
        return plain(value.model_dump(mode="json"))
    if hasattr(kind, "__fields__") and callable(getattr(kind, "json", None)):  # pydantic 1
        return read_json(value.json())
    if hasattr(kind, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in kind.__dataclass_fields__ if hasattr(value, name)}
    if isinstance(value, tuple) and hasattr(kind, "_fields"):  # a named tuple
        return {name: plain(getattr(value, name)) for name in kind._fields}
    if isinstance(value, collections.abc.Mapping):
        return plain(dict(value))
    return _plain_collection(value)


def _plain_collection(value):
    """Return a set, a sequence, a path or a numpy array as JSON."""
    kind = type(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError("%s has no JSON form: decode it, or encode it as base64" % kind.__name__)
    if isinstance(value, collections.abc.Set):
        items = [plain(item) for item in value]
        return sorted(items) if len({type(item) for item in items} - {str}) == 0 else items
    if callable(getattr(kind, "tolist", None)):
        return plain(value.tolist())
    if isinstance(value, os.PathLike):
        return plain(os.fspath(value))
    if isinstance(value, collections.abc.Sequence):
        return [plain(item) for item in value]
    raise TypeError("%s has no JSON form: return a dict, a list, a string or a number" % kind.__name__)


def _no_constant(text):
    raise ValueError("%s is not JSON" % text)


DECODER = json.JSONDecoder(parse_constant=_no_constant)
ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def read_json(text):
    """Parse JSON. NaN and Infinity are refused."""
    return DECODER.decode(text)


def write_json(value):
    try:
        return ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError as failure:
        raise ValueError("text with half a surrogate pair has no JSON form: %s" % failure)


def _type_name(kind):
    return kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)


def _valid_text(text):
    return text.encode("utf-8", "replace").decode("utf-8")  # replaces half surrogate pairs


def error(code, failure, qualified=True):
    """Return the error object for ``failure``. ``qualified`` adds module names and the mro, for http."""
    kind = type(failure)
    try:
        message = str(failure)
    except BaseException:
        message = "<str() of this %s fails>" % kind.__name__
    details = {"message": _valid_text(message[:TEXT_LIMIT]), "type": _type_name(kind) if qualified else kind.__name__}
    if qualified:
        details["mro"] = [_type_name(base) for base in kind.__mro__ if base not in (object, BaseException)]
    try:
        text = "".join(traceback.format_exception(kind, failure, failure.__traceback__))
        details["traceback"] = _valid_text(text[-TEXT_LIMIT:])
    except Exception:
        details["traceback"] = ""
    return {"error": code, "details": details}


# -- messages


def read_message(data):
    """Parse a message. Raises BadMessage if it is invalid."""
    try:
        message = read_json(data.decode("utf-8"))
    except (ValueError, RecursionError) as failure:
        raise BadMessage("the message is not JSON: %s" % failure)
    if not isinstance(message, dict) or "payload" not in message:
        raise BadMessage("the message must be an object with a payload")
    route = message.get("route")
    if route is None:
        return message
    if not isinstance(route, dict):
        raise BadMessage("route: must be an object")
    if type(route.get("current", 0)) is not int:
        raise BadMessage("route.current: must be a whole number")
    for name in ("prev", "next", "actors"):
        if not isinstance(route.get(name) or [], list):
            raise BadMessage("route.%s: must be an array" % name)
    if not isinstance(route.get("curr") or "", str):
        raise BadMessage("route.curr: must be a string")
    return message


def advance(route):
    if "actors" in route or "current" in route:
        return dict(route, current=route.get("current", 0) + 1)
    curr, rest = route.get("curr"), route.get("next") or []
    prev = (route.get("prev") or []) + ([curr] if curr else [])
    return dict(route, prev=prev, curr=rest[0] if rest else "", next=rest[1:])


STEP = re.compile(
    r"""\.?\["((?:[^"\\]|\\.)*)"\]|\.([\w-]+)|\.?\[(-?\d+)\]|\.?\[(-?\d*):(-?\d*)\]"""  # ["key"], .key, [0], [0:1]
)


def parse_path(path):
    """Return the keys, indexes and slices of a path such as ``.headers["a.b"]`` or ``.route.next[:0]``."""
    steps, at = [], 0  # type: tuple[list[Any], int]
    while isinstance(path, str) and at < len(path):
        match = STEP.match(path, at)
        if match is None:
            break
        quoted, key, index, start, end = match.groups()
        if quoted is not None or key is not None:
            steps.append(key or json.loads('"%s"' % quoted))
        elif index is not None:
            steps.append(int(index))
        else:
            steps.append(slice(int(start) if start else None, int(end) if end else None))
        at = match.end()
    if not steps or at < len(path):
        raise ValueError("path %r is invalid: write it as .headers.trace_id or .route.next[0]" % (path,))
    return tuple(steps)


class Envelope:
    """The parts of a message that commands read and change."""

    READABLE = ("id", "parent_id", "route", "headers", "status")

    def __init__(self, message):
        route = message.get("route")
        self.has_route = route is not None
        self.data = {name: plain(message[name]) for name in self.READABLE if message.get(name) is not None}
        self.data["route"] = dict(self.data.get("route") or {})
        for name in ("prev", "next"):
            self.data["route"][name] = self.data["route"].get(name) or []
        for name in ("headers", "status"):
            self.data[name] = self.data.get(name) or {}
        self.changed = set()

    def frame(self, payload):
        """Return the frame with ``payload``. It has headers and status only if they changed."""
        frame = {"payload": payload}
        if self.has_route or "route" in self.changed:
            frame["route"] = advance(self.data["route"])
        for name in ("headers", "status"):
            if name in self.changed:
                frame[name] = self.data[name]
        return frame

    def get(self, path):
        """Return a deep copy of the value at ``path``, or None."""
        steps = parse_path(path)
        if steps[0] not in self.READABLE:
            raise ValueError("GET %s: readable are .id, .parent_id, .route, .headers and .status" % path)
        value = self.data
        for step in steps:
            value = _child(value, step, path)
        return plain(value)

    def allowed(self, command, path, sections):
        """Return the steps of ``path`` if ``command`` may change it."""
        steps = parse_path(path)
        if steps[:2] == ("route", "next") or (steps[0] in sections and len(steps) > 1):
            return steps
        names = "".join(", .%s.*" % name for name in sections)
        raise ValueError("%s %s: allowed are .route.next%s" % (command, path, names))

    def set(self, path, value):
        """Set ``path`` to ``value`` and create missing objects on the way."""
        steps = self.allowed("SET", path, ("headers", "status"))
        self._change(steps, path, lambda parent, step: _assign(parent, step, plain(value), path))

    def delete(self, path):
        """Remove the value at ``path``, if there is one."""
        steps = self.allowed("DEL", path, ("headers",))
        if steps == ("route", "next"):
            self.set(path, [])
        else:
            self._change(steps, path, lambda parent, step: _drop(parent, step, path))

    def _change(self, steps, path, change):
        """Change a copy of the section. Keep it if it is valid."""
        section = plain(self.data[steps[0]])
        parent = section
        for step, following in zip(steps[1:-1], steps[2:]):
            child = _child(parent, step, path)
            if child is None and isinstance(following, str) and isinstance(parent, dict):
                child = parent[step] = {}
            parent = child
        change(parent, steps[-1])
        rest = section.get("next") if steps[0] == "route" else []
        if not isinstance(rest, list) or not all(isinstance(name, str) and name for name in rest):
            raise ValueError("%s: .route.next must be a list of actor names; it would be %r" % (path, rest))
        self.data[steps[0]] = section
        self.changed.add(steps[0])


def _child(parent, step, path):
    if isinstance(step, slice):
        raise ValueError("%s: use a slice only with SET, and only last" % path)
    if parent is None:
        return None
    if isinstance(step, str):
        if not isinstance(parent, dict):
            raise ValueError("%s: %r needs an object" % (path, step))
        return parent.get(step)
    if not isinstance(parent, list):
        raise ValueError("%s: [%d] needs an array" % (path, step))
    return parent[step] if -len(parent) <= step < len(parent) else None


def _assign(parent, step, value, path):
    """Set ``step`` of ``parent``. A slice needs a list; an index must exist or be the next."""
    if isinstance(step, str) and isinstance(parent, dict):
        parent[step] = value
    elif isinstance(step, slice) and isinstance(parent, list) and isinstance(value, list):
        parent[step] = value
    elif isinstance(step, int) and isinstance(parent, list) and -len(parent) <= step <= len(parent):
        parent[step : step + 1 or None] = [value]
    else:
        raise ValueError("SET %s: cannot set a %s there" % (path, type(value).__name__))


def _drop(parent, step, path):
    if _child(parent, step, path) is not None or (isinstance(parent, dict) and step in parent):
        del parent[step]


# -- generators


def drive(generator, react):
    """Run a generator. ``react`` returns the reply to each yielded value, or an exception to throw."""
    reply, failure = None, None
    try:
        while True:
            try:
                value = generator.send(reply) if failure is None else generator.throw(failure)
            except StopIteration:
                return
            reply, failure = react(value)
    finally:
        generator.close()


async def drive_async(generator, react):
    """Run an async generator. It runs in one task, so that its context and timeouts span yields."""
    reply, failure = None, None
    try:
        while True:
            try:
                value = await (generator.asend(reply) if failure is None else generator.athrow(failure))
            except StopAsyncIteration:
                return
            reply, failure = react(value)
    finally:
        await generator.aclose()


COMMANDS = {"GET": 2, "SET": 3, "DEL": 2, "FLY": 2}


def is_command(value):
    """Whether a generator has yielded a command such as ("GET", ".id")."""
    return type(value) is tuple and bool(value) and isinstance(value[0], str) and COMMANDS.get(value[0]) == len(value)


# -- the two protocols


class Client:
    """A connection. Its readers are generators that yield to wait, so a partial message blocks no other."""

    def __init__(self, sock, seconds=CLIENT_SECONDS):
        sock.settimeout(FIRST_SECONDS)
        self.sock = sock
        self.exchange = None  # type: Any
        self.deadline = time.monotonic() + seconds
        self.data = bytearray()
        self.held = 0
        """Bytes in memory."""
        self.is_message = False

    def fill(self, size=65536):
        if not self.sock.gettimeout():
            yield
        try:
            part = self.sock.recv(size)
        except (BlockingIOError, socket.timeout):
            return
        except OSError:
            part = b""
        finally:
            self.sock.setblocking(False)
        if not part:
            raise CutShort("the client closed the connection after %d bytes of a message" % self.held)
        self.data += part
        self.held += len(part)

    def take(self, size):
        while len(self.data) < size:
            yield from self.fill(min(size - len(self.data), 1 << 20))
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    def take_until(self, mark, limit):
        start = 0
        while True:
            at = self.data.find(mark, start)
            if 0 <= at <= limit:
                return (yield from self.take(at + len(mark)))[:at]
            if at > limit or len(self.data) > limit + len(mark):
                raise BadMessage("a line or head is longer than %d bytes" % limit)
            start = max(0, len(self.data) - len(mark) + 1)
            yield from self.fill()

    def check(self, size, limit):
        """Refuse a message that is too large, but read it first: a client that still writes reads no response."""
        if size <= limit:
            return
        left = size - len(self.data) if size <= LARGEST_FRAME else 0
        while left > 0:
            del self.data[:]
            self.held = 0
            yield from self.fill(min(left, 1 << 20))
            left -= len(self.data)
        raise BadMessage("the message has %d bytes, more than ASYA_SOCKET_MAX_SIZE (%d)" % (size, limit))

    def begin(self):
        """Skip the call if the client has gone, because the broker delivers the message again."""
        poller = select.poll()
        poller.register(self.sock, 0)  # POLLHUP only: a client may have closed its sending side
        if poller.poll(0):
            raise ClientGone("the client disconnected before the call; the function is not called")
        self.is_message = True

    def send(self, data):
        leave_if_forked()
        if not data:
            return
        try:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            if sent < len(data):
                self.sock.settimeout(CLIENT_SECONDS)
                self.sock.sendall(data[sent:])
        except OSError as failure:
            raise ClientGone("the client disconnected before the response: %s" % failure)


class Exchange:

    def __init__(self, client, settings, guest):
        self.client = client
        self.settings = settings
        self.guest = guest


class FramesExchange(Exchange):
    """One message of the frames generations."""

    def run(self):
        """Read the message and respond."""
        code = "connection_error"
        try:
            data = yield from self.read()
            code = "msg_parsing_error"
            message = read_message(data)
            self.client.begin()
            answer = self.results(message)
        except BadMessage as bad:
            answer = write_json([error(code, bad, False)])
        self.client.send(len(answer).to_bytes(4, "big") + answer)

    def read(self):
        size = int.from_bytes((yield from self.client.take(4)), "big")
        yield from self.client.check(size, self.settings.max_size)
        return (yield from self.client.take(size))

    def results(self, message):
        try:
            if self.settings.mode == "envelope":
                results = self.collect(message)
            else:
                route = advance(message.get("route") or {"current": 0})
                headers = message.get("headers") or {}
                payloads = self.collect(message["payload"])
                results = [{"payload": payload, "route": route, "headers": headers} for payload in payloads]
            return write_json(plain(results))
        except BaseException as failure:  # a failure of the function, even SystemExit, fails the message
            leave_if_forked(failure)
            return write_json([error("processing_error", failure, False)])

    def collect(self, argument):
        """Call the function and return its results as a list. None means no result."""
        result = self.guest.call(argument)
        if result is None:
            return []
        if isinstance(result, list):
            return result
        if not (inspect.isgenerator(result) or inspect.isasyncgen(result)):
            return [result]
        collected = []

        def react(value):
            if is_command(value):
                return None, TypeError("yield %r: commands need a sidecar of the http generation" % (value,))
            if value is not None:
                collected.append(value)
            return None, None

        self.guest.exhaust(result, react)
        return collected


def response(status, body=b""):
    """Return an HTTP response that closes the connection.

    A runtime that stops could close a kept-alive connection while the sidecar writes to it, and lose the message.
    """
    head = "HTTP/1.1 %d %s\r\nConnection: close\r\n" % (status, HTTPStatus(status).phrase)
    if status != 204:
        head += "Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    return head.encode("ascii") + b"\r\n" + body


class HttpExchange(Exchange):
    """One request of the http generation.

    A failure is 400 or 500 with ``error``. The sidecar takes every other response as a success.
    """

    def run(self):
        """Read the request and respond."""
        try:
            answer = yield from self.answer()
        except BadMessage as bad:
            answer = response(400, write_json(error("msg_parsing_error", bad)))
        self.client.send(answer)

    def answer(self):
        method, path, headers = yield from self.read_head()
        if (method, path) == ("POST", "/invoke"):
            message = read_message((yield from self.read_body(headers)))
            self.client.begin()
            return self.invoke(message)
        if (method, path) == ("GET", "/healthz"):
            return response(200, b'{"status":"ok"}')
        raise BadMessage("%s %s: use POST /invoke or GET /healthz" % (method, path))

    def read_head(self):
        """Return method, path without query, and headers with names in lower case."""
        head = yield from self.client.take_until(b"\r\n\r\n", HEAD_LIMIT)
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise BadMessage("the request line must be HTTP/1.x: %r" % lines[0][:100])
        headers = {}  # type: dict[str, str]
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            name, value = name.lower(), value.strip()
            if not colon or not name or name != name.strip() or headers.get(name, value) != value:
                raise BadMessage("a header is invalid or contradicts an earlier one: %r" % line[:100])
            headers[name] = value
        return parts[0], parts[1].partition("?")[0], headers

    def read_body(self, headers):
        limit = self.settings.max_size
        encoding, length = headers.get("transfer-encoding", ""), headers.get("content-length", "0")
        if headers.get("expect", "").lower() == "100-continue":
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if encoding:
            if encoding.lower() != "chunked":
                raise BadMessage("Transfer-Encoding %r: use chunked" % encoding[:100])
            return (yield from self.read_chunks(limit))
        if not length.isdecimal():
            raise BadMessage("Content-Length %r: must be a whole number" % length[:100])
        size = int(length)
        yield from self.client.check(size, limit)
        return (yield from self.client.take(size))

    def read_chunks(self, limit):
        total = 0
        body = []  # type: list[bytes]
        while True:
            line = yield from self.client.take_until(b"\r\n", 1024)
            match = re.match(r"\s*([0-9a-fA-F]{1,8})\s*(;|$)", line.decode("latin-1"))
            if match is None:
                raise BadMessage("chunk size %r: must be hexadecimal" % line[:100])
            size = int(match.group(1), 16)
            if size == 0:
                while (yield from self.client.take_until(b"\r\n", HEAD_LIMIT)):
                    pass  # trailers
                return b"".join(body)
            total += size
            yield from self.client.check(total, limit)
            body.append((yield from self.client.take(size)))
            if (yield from self.client.take(2)) != b"\r\n":
                raise BadMessage("a chunk must end with CRLF")

    def invoke(self, message):
        """Call the function. Return the response, or b"" if it was sent as a stream."""
        stream = EventStream(self.client)
        try:
            if self.settings.mode == "envelope":
                raise ValueError("ASYA_HANDLER_MODE=envelope is for sidecars of the frames generations: remove it")
            result = self.guest.call(message["payload"])
            if inspect.isgenerator(result) or inspect.isasyncgen(result):
                envelope = Envelope(message)
                self.guest.exhaust(result, lambda value: self.react(envelope, stream, value))
                return stream.end()
            if result is None:
                return response(204)
            frame = {"payload": plain(result)}
            if message.get("route") is not None:
                frame["route"] = advance(message["route"])
            return response(200, write_json({"frames": [frame]}))
        except ClientGone:
            raise
        except BaseException as failure:
            leave_if_forked(failure)
            return stream.fail(error("processing_error", failure))

    def react(self, envelope, stream, value):
        """Return the reply to a yielded value, or an exception to throw."""
        try:
            if value is None:
                return None, None
            if type(value) is tuple:
                return self.command(envelope, stream, value), None
            payload = plain(value)
            if not isinstance(payload, dict):
                raise TypeError("yield %.100r: yield dicts and commands only" % (value,))
            stream.send("downstream", envelope.frame(payload))
        except (TypeError, ValueError, RecursionError) as failure:
            return None, failure
        return None, None

    def command(self, envelope, stream, value):
        if not is_command(value):
            raise TypeError(
                "yield %.100r: commands are (GET, path), (SET, path, value), (DEL, path) and (FLY, dict)" % (value,)
            )
        if value[0] == "GET":
            return envelope.get(value[1])
        if value[0] == "SET":
            envelope.set(value[1], value[2])
        elif value[0] == "DEL":
            envelope.delete(value[1])
        else:
            payload = plain(value[1])
            if not isinstance(payload, dict):
                raise TypeError("FLY %.100r: takes a dict" % (value[1],))
            stream.send("upstream", {"payload": payload})
        return None


class EventStream:
    """A response of events. It is chunked, so that the sidecar detects a truncated one.

    It begins with the first event, so that an earlier failure is a normal response.
    """

    HEAD = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    def __init__(self, client):
        self.client = client
        self.is_started = False

    def send(self, event, value, last=b""):
        """Send one event. The last one includes the stream's end, because the sidecar disconnects after it."""
        data = write_json(value)
        if len(data) > EVENT_LIMIT:
            raise ValueError("a frame of %d bytes is too large: the limit is 16 MiB" % len(data))
        text = b"event: " + event.encode("ascii") + b"\ndata: " + data + b"\n\n"
        chunk = b"%x\r\n%s\r\n%s" % (len(text), text, last)
        self.client.send(chunk if self.is_started else self.HEAD + chunk)
        self.is_started = True

    def end(self):
        """End the stream. Return the response if there was no event."""
        if not self.is_started:
            return response(204)
        self.send("done", {}, b"0\r\n\r\n")
        return b""

    def fail(self, failure):
        """End with an error. Return the response if there was no event."""
        if not self.is_started:
            return response(500, write_json(failure))
        self.send("error", failure, b"0\r\n\r\n")
        return b""


# -- the user's code


def load(name):
    """Import ``module.function`` or ``module.Class.method``. A class is instantiated once.

    Raises:
        Refused: there is no such function.
    """
    parts = name.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise Refused("ASYA_HANDLER is %r: set it to module.function or module.Class.method" % name)
    owner, rest = _import(name, parts)
    for part in rest[:-1]:
        owner = _attribute(name, owner, part)
        if inspect.isclass(owner):
            owner = owner()
    function = _attribute(name, owner, rest[-1])
    if inspect.isclass(function):
        raise Refused("ASYA_HANDLER is %r, which is a class: add the name of a method" % name)
    if not callable(function):
        raise Refused("ASYA_HANDLER is %r, which is a %s: name a function" % (name, type(function).__name__))
    return function


def _import(name, parts):
    for split in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:split])
        try:
            return importlib.import_module(module), parts[split:]
        except ModuleNotFoundError as failure:
            if not (failure.name and (module + ".").startswith(failure.name + ".")):
                raise  # the user's module imports a missing one
    raise Refused(
        "ASYA_HANDLER is %r, but there is no module %r in %s: set WORKDIR or PYTHONPATH to its directory"
        % (name, parts[0], ", ".join(path for path in sys.path[:3] if path))
    )


def _attribute(name, owner, attribute):
    try:
        return getattr(owner, attribute)
    except AttributeError:
        title = getattr(owner, "__name__", type(owner).__name__)
        raise Refused("ASYA_HANDLER is %r, but %s has no %r: correct the name" % (name, title, attribute))


class Guest:
    """Calls the user's function on the main thread, with one event loop for the whole process."""

    def __init__(self, state):
        self.state = state
        self.function = None  # type: Any
        self.uses_loop = False
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)

    def prepare(self):
        """Set the current loop again, because asyncio.run() unsets it."""
        if self.loop.is_closed():
            self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)

    def call(self, argument):
        self.state.busy_since = time.monotonic()
        self.prepare()
        result = self.function(argument)
        if inspect.isawaitable(result):
            result = self.run(result)
        elif not self.uses_loop:
            self.uses_loop = not self.loop.is_closed() and bool(asyncio.all_tasks(self.loop))
        return result

    def exhaust(self, generator, react):
        self.prepare()
        if inspect.isasyncgen(generator):
            self.run(drive_async(generator, react))
        else:
            drive(generator, react)

    def run(self, awaitable):

        async def outcome():
            try:
                return await awaitable, None
            except BaseException as failure:  # SystemExit in a task would stop the loop too
                return None, failure

        self.uses_loop = True
        task = self.loop.create_task(outcome())
        while not task.done():
            try:
                self.loop.run_until_complete(task)
            except SystemExit:  # of another task
                traceback.print_exc()
        result, failure = task.result()
        if failure is not None:
            raise failure
        return result

    def wait(self, sockets, seconds):
        """Like readable(). The user's tasks run meanwhile."""
        if not self.uses_loop:
            return readable(sockets, seconds)
        self.prepare()
        arrived = self.loop.create_future()

        def arrive():
            if not arrived.done():
                arrived.set_result(None)

        timer = None if seconds is None else self.loop.call_later(max(0.0, seconds), arrive)
        for sock in sockets:
            self.loop.add_reader(sock, arrive)
        try:
            self.loop.run_until_complete(arrived)
        finally:
            for sock in sockets:
                self.loop.remove_reader(sock)
            if timer is not None:
                timer.cancel()
        return readable(sockets, 0)

    def close(self):
        if self.loop.is_closed() or not self.uses_loop:
            return
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True) if tasks else asyncio.sleep(0))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


def end(code):
    """End the process. Run exit functions, but do not wait for long for threads and tasks."""
    killer = threading.Timer(END_SECONDS, os._exit, (code,))
    killer.daemon = True
    killer.start()
    deadline = time.monotonic() + END_SECONDS / 5
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
    atexit._run_exitfuncs()
    flush()
    os._exit(code)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass


PARENT_PID = 0


def leave_if_forked(failure=None):
    """End a forked process of the function that returns here: only the runtime may respond."""
    if not PARENT_PID or os.getpid() == PARENT_PID:
        return
    code = 0
    if isinstance(failure, SystemExit):
        code = failure.code if isinstance(failure.code, int) else int(failure.code is not None)
    elif failure is not None:
        traceback.print_exception(type(failure), failure, failure.__traceback__)
        code = 1
    flush()
    os._exit(code)


# -- the process


class State:
    """State that the main thread and the background thread share."""

    def __init__(self):
        self.is_loaded = False
        self.is_draining = False
        self.is_stopping = False
        self.busy_since = None  # when the function was called
        self.drained_at = None
        self.answered_at = None
        self.drains = []  # connections that wait for the response to /drain

    @property
    def is_ready(self):
        return self.is_loaded and not (self.is_draining or self.is_stopping)


class Signals:
    """Handles SIGTERM, together with the user's own signal handlers."""

    def __init__(self, state):
        self.state = state
        self.users = None
        self.masks = {}  # type: dict[int, Any]
        self.waker, self.wakened = socket.socketpair()
        for sock in (self.waker, self.wakened):
            sock.setblocking(False)
        self.real, signal.signal = signal.signal, self.register
        self.real(signal.SIGTERM, self.terminate)
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)

    def terminate(self, number, frame):
        """Stop after the current message. Also call the user's handler, which cannot prevent it."""
        self.state.is_stopping = True
        if not self.state.is_loaded:
            flush()
            os._exit(0)
        self.wake()
        users, self.users = self.users, None  # it may call this one
        if callable(users):
            try:
                users(number, frame)
            except SystemExit:
                pass
            except BaseException:
                traceback.print_exc()

    def register(self, number, handler):
        """Replaces signal.signal: terminate() stays, and calls the user's handler."""
        if number != signal.SIGTERM or os.getpid() != PARENT_PID:
            return self.real(number, handler)
        before, self.users = self.users, handler
        return signal.SIG_DFL if before is None else before

    def wake(self):
        try:
            self.waker.send(b"\0")
        except OSError:
            pass  # its buffer is full, which wakes the main thread too

    def collect(self):
        if readable([self.wakened], 0):
            self.wakened.recv(4096)

    def restore_wakeup(self):
        """Restore the wakeup descriptor, which the user's event loop may have changed."""
        before = signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        if before not in (-1, self.waker.fileno()):
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)  # asyncio's, which wakes the main thread too

    def close_in_child(self):
        """In a forked child: restore the user's SIGTERM handler, or the default."""
        if signal.getsignal(signal.SIGTERM) == self.terminate:
            self.real(signal.SIGTERM, signal.SIG_DFL if self.users is None else self.users)
        signal.set_wakeup_fd(-1)
        self.waker.close()
        self.wakened.close()
        self.release()

    def block(self):
        """Block SIGTERM before a fork: Python drops one that reaches the child too early."""
        self.masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def release(self):
        signal.pthread_sigmask(signal.SIG_SETMASK, self.masks.pop(threading.get_ident()))


class Background:
    """The thread that responds to probes and /drain, and ends the process when the function hangs."""

    TICK_SECONDS = 1.0
    PROBE_SECONDS = 5.0

    def __init__(self, settings, state, signals):
        self.state = state
        self.signals = signals
        self.limit = settings.timeout and settings.timeout + PATIENCE_SECONDS
        self.timeout = settings.timeout
        self.main = threading.get_ident()
        self.listener = self.open(settings.port) if settings.port else None  # type: Any
        self.clients = {}  # by their sockets
        self.drains = state.drains

    def open(self, port):
        for family, host in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):  # nosec B104
            try:
                listener = socket.socket(family, socket.SOCK_STREAM)
            except OSError:
                continue
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                listener.bind((host, port))
                listener.listen(BACKLOG)
                listener.setblocking(False)
                return listener
            except OSError as failure:
                listener.close()
                reason = failure
        raise Refused("ASYA_RUNTIME_PORT is %d, which cannot be used (%s): set a free port" % (port, reason))

    def run(self):
        while True:
            try:
                self.step()
            except Exception:
                log("the background thread: " + traceback.format_exc())
                time.sleep(self.TICK_SECONDS)

    def step(self):
        self.check_limit()
        self.answer_drains()
        sockets = list(self.clients) + self.drains + ([self.listener] if self.listener else [])
        for sock in readable(sockets, 0.05 if self.drains else self.TICK_SECONDS):
            if sock is self.listener:
                self.accept()
            elif sock in self.clients:
                self.read(sock, self.clients[sock].exchange)
            else:
                self.drop(sock)  # it has closed the connection
        for sock in [sock for sock, client in self.clients.items() if client.deadline < time.monotonic()]:
            self.drop(sock)

    def accept(self):
        try:
            client = Client(self.listener.accept()[0], self.PROBE_SECONDS)
        except OSError:
            time.sleep(0.05)  # no free file descriptor, or the client has gone
            return
        client.exchange = client.take_until(b"\r\n\r\n", HEAD_LIMIT)
        self.clients[client.sock] = client
        if len(self.clients) > WAITING_LIMIT:
            self.drop(next(iter(self.clients)))

    def drop(self, sock):
        self.clients.pop(sock, None)
        if sock in self.drains:
            self.drains.remove(sock)
        sock.close()

    def read(self, sock, exchange):
        try:
            next(exchange)
        except BadMessage:
            self.drop(sock)
        except StopIteration as head:
            words = head.value.partition(b"\r\n")[0].split(b" ")
            self.answer(sock, words[1].partition(b"?")[0] if len(words) == 3 and words[0] == b"GET" else b"")

    def answer(self, sock, path):
        if path == b"/drain":
            del self.clients[sock]
            self.drains.append(sock)
            self.state.is_draining = True
            self.signals.wake()
        elif path == b"/ready":
            is_ready = self.state.is_ready
            self.reply(sock, 200 if is_ready else 503, "ready" if is_ready else "not ready")
        elif path == b"/healthz":
            self.reply(sock, 200, "ok")
        else:
            self.reply(sock, 400, "unknown; GET /ready, /drain or /healthz")

    def reply(self, sock, status, text):
        try:
            sock.send(response(status, write_json({"status": text})))
        except OSError:
            pass  # the client has gone
        self.drop(sock)

    def answer_drains(self):
        """Respond to /drain when the sidecar has had time to publish and acknowledge the last response."""
        state = self.state
        drained_at = state.drained_at if state.is_loaded else 0.0
        if self.drains and drained_at is not None and time.monotonic() >= drained_at + PUBLISH_SECONDS:
            state.answered_at = time.monotonic()
            for sock in list(self.drains):
                self.reply(sock, 200, "drained")

    def check_limit(self):
        """End the process if the function hangs. If a C extension blocks this thread, faulthandler does."""
        if not self.limit or not self.state.is_loaded:
            return
        since, now = self.state.busy_since, time.monotonic()
        left = self.limit if since is None else since + self.limit - now
        if left <= 0:
            frame = sys._current_frames().get(self.main)
            log(
                "the function runs for %.0f s (ASYA_RUNTIME_TIMEOUT is %g s); the process ends."
                " The function is here:\n%s" % (now - since, self.timeout, "".join(traceback.format_stack(frame)))
            )
            os._exit(3)
        try:
            faulthandler.dump_traceback_later(left + 2 * PATIENCE_SECONDS, exit=True, file=2)
        except (OSError, ValueError, RuntimeError):
            pass  # stderr is closed

    def close_in_child(self):
        for sock in [self.listener] + list(self.clients) + self.drains:
            if sock is not None:
                sock.close()


class Runtime:
    """The main thread: receives one message at a time, calls the function, responds."""

    def __init__(self, settings):
        self.settings = settings
        self.state = State()
        self.signals = Signals(self.state)
        self.background = Background(settings, self.state, self.signals)
        if settings.port or settings.timeout:
            threading.Thread(target=self.background.run, name="asya-runtime", daemon=True).start()
        self.guest = Guest(self.state)
        self.ready = ReadyFile(settings.ready)
        self.holder = None  # type: Any
        self.listeners = []  # type: list[Any]
        self.waiting = {}  # clients whose message has not arrived whole, by their sockets
        self.current = None
        self.rejoin_at = None
        self.messages = 0
        self.failures = 0
        self.speaks_frames = False
        self.active_at = 0.0
        os.register_at_fork(
            before=self.signals.block, after_in_parent=self.signals.release, after_in_child=self.close_in_child
        )

    def start(self):
        settings = self.settings
        self.guest.function = load(settings.handler)
        self.signals.restore_wakeup()
        os.makedirs(settings.directory, exist_ok=True)
        if settings.holder:
            self.join_holder()
        else:
            remove(settings.ready)
            self.listeners = [listen(settings.path, settings.chmod)]
            link_to(settings.path, settings.link)
        self.state.is_loaded = True
        self.background.check_limit()
        self.ready.lock()
        self.active_at = time.monotonic()
        log("%s listens on %s" % (settings.handler, settings.path))

    def join_holder(self):
        """Wait for the socket holder and get the socket from it."""
        deadline = time.monotonic() + HOLDER_SECONDS
        failure = self.take()
        while failure is not None and time.monotonic() < deadline:
            time.sleep(0.1)
            failure = self.take()
        if failure is not None:
            raise Refused(
                "ASYA_SOCKET_HOLDER is %r, but no holder passes a socket there (%s): see the log of container"
                " asya-socket, or set spec.socket.activation to false" % (self.settings.holder, failure)
            )

    def take(self):
        """Get the socket from its holder. Return the error, or None."""
        try:
            self.holder, listener = take_socket(self.settings.holder)
        except OSError as failure:
            self.rejoin_at = time.monotonic() + 0.2
            return failure
        self.rejoin_at = None
        self.listeners.append(listener)
        return None

    def run(self):
        """Serve until SIGTERM or the end of the job. Exceptions of user code between messages do not stop it."""
        while True:
            try:
                if not self.step():
                    break
            except KeyboardInterrupt:
                break
            except BaseException as failure:
                leave_if_forked(failure)
                log("between messages: " + traceback.format_exc())
                self.failures += 1
                if self.failures > 100:
                    log("too many failures in a row; the process ends")
                    end(1)
                time.sleep(0.05)
        self.finish()

    def step(self):
        if self.state.is_stopping or self.is_done():
            return False
        if self.state.is_draining:
            self.drain()
            return True
        if self.rejoin_at is not None and time.monotonic() >= self.rejoin_at and self.take() is None:
            log("the socket holder was replaced")
        sockets = [self.signals.wakened] + list(self.waiting) + self.listeners + ([self.holder] if self.holder else [])
        arrived = self.guest.wait(sockets, self.wait_seconds())
        if len(self.listeners) > 1 and self.listeners[0] not in arrived:
            self.listeners.pop(0).close()  # its holder is gone and its backlog is empty
        for sock in arrived:
            if not self.state.is_ready or self.is_done():
                break
            if sock is self.signals.wakened:
                self.signals.collect()
            elif sock is self.holder:
                self.lose_holder()
            elif sock in self.waiting:
                self.serve(self.waiting[sock])
            elif sock in self.listeners:
                self.accept(sock)
        return True

    def wait_seconds(self):
        """Drop late clients. Return the seconds to the next deadline, or None."""
        now = time.monotonic()
        for client in [client for client in self.waiting.values() if client.deadline < now]:
            self.drop(client)
        deadlines = [client.deadline for client in self.waiting.values()]
        if self.rejoin_at is not None:
            deadlines.append(self.rejoin_at)
        if self.settings.job_idle:
            deadlines.append(self.active_at + self.settings.job_idle)
        return max(0.0, min(deadlines) - now) if deadlines else None

    def is_done(self):
        """Whether the job has ended."""
        limit, idle = self.settings.job_messages, self.settings.job_idle
        return bool(limit and self.messages >= limit) or bool(idle and time.monotonic() >= self.active_at + idle)

    def lose_holder(self):
        """Handle the end of the holder: a new one has a new socket."""
        self.holder.close()
        self.holder = None
        self.rejoin_at = time.monotonic()

    def accept(self, listener):
        """Accept only one connection: those in the backlog survive this process."""
        try:
            client = Client(listener.accept()[0])
        except (BlockingIOError, ConnectionAbortedError):
            return
        client.exchange = self.exchange(client)
        self.serve(client)

    def exchange(self, client):
        """Read a message, call the function and respond."""
        try:
            while not client.data:
                yield from client.fill()
        except CutShort:
            return  # a sidecar tests the socket
        self.speaks_frames = not 0x41 <= client.data[0] <= 0x5A
        kind = FramesExchange if self.speaks_frames else HttpExchange
        yield from kind(client, self.settings, self.guest).run()

    def serve(self, client):
        """Continue with a client. Put it aside while its message is partial."""
        self.waiting.pop(client.sock, None)
        self.current = client.sock
        is_partial = False
        try:
            is_partial = next(client.exchange, True) is None
        except ClientGone as gone:
            log(str(gone))
        finally:
            if not is_partial:
                client.sock.close()
            self.current = None
            self.state.busy_since = None
            leave_if_forked()
            self.signals.restore_wakeup()
        if is_partial:
            self.put_aside(client)
            return
        self.failures = 0
        if client.is_message:
            self.messages += 1
            self.active_at = time.monotonic()

    def put_aside(self, client):
        """Let a client wait. Drop the oldest ones if there are too many."""
        self.waiting[client.sock] = client
        limit = 4 * self.settings.max_size + HEAD_LIMIT
        while len(self.waiting) > WAITING_LIMIT or sum(client.held for client in self.waiting.values()) > limit:
            self.drop(next(iter(self.waiting.values())))

    def drop(self, client):
        if client.held:
            log("closed a connection after %d bytes of a partial message" % client.held)
        del self.waiting[client.sock]
        client.exchange.close()
        client.sock.close()

    def drain(self):
        """Accept nothing until SIGTERM. If none comes, only the sidecar restarted; then resume."""
        state = self.state
        if state.drained_at is None:
            self.finish_waiting()
            self.ready.unlock()
            state.drained_at = time.monotonic()
            log("drained")
        self.pause(0.2)
        if not state.drains and time.monotonic() > max(state.drained_at, state.answered_at or 0.0) + RESUME_SECONDS:
            log("no SIGTERM after /drain: accepting messages again")
            state.drained_at = None
            state.is_draining = False
            self.ready.lock()
            self.active_at = time.monotonic()

    def pause(self, seconds):
        self.guest.wait([self.signals.wakened], seconds)
        self.signals.collect()

    def finish_waiting(self):
        """Serve clients that are sending a message."""
        until = time.monotonic() + ARRIVAL_SECONDS
        while self.waiting and time.monotonic() < until:
            for sock in readable(list(self.waiting), until - time.monotonic()):
                if sock in self.waiting:
                    self.serve(self.waiting[sock])

    def finish(self):
        """Give the sidecar time to publish the last results, then end."""
        state, settings = self.state, self.settings
        state.is_stopping = True
        self.ready.unlock()
        self.finish_waiting()
        if state.drained_at is None:
            state.drained_at = time.monotonic()
        while settings.port or settings.job_messages or settings.job_idle:
            now = time.monotonic()
            until = max(state.drained_at + LINGER_SECONDS, (state.answered_at or 0.0) + LINGER_SECONDS / 2)
            if now >= until and not state.drains:
                break
            self.pause(0.05)
        if not settings.holder:
            remove(settings.path, settings.link, settings.ready)
        elif self.holder and self.speaks_frames and (state.answered_at is not None or self.is_done()):
            try:
                self.holder.send(b"last")
            except OSError:
                pass  # the holder and its waiting connections are gone
        try:
            self.guest.close()
        except BaseException:
            traceback.print_exc()
        end(0)

    def close_in_child(self):
        """In a forked child: close all sockets and files of the runtime."""
        for sock in self.listeners + list(self.waiting) + [self.holder, self.current]:
            if sock is not None:
                sock.close()
        self.background.close_in_child()
        self.ready.unlock()
        asyncio.set_event_loop(asyncio.new_event_loop())  # a child must not run its parent's loop
        self.signals.close_in_child()


HOLD = """import sys
with open(sys.argv[2], encoding="utf-8") as file:
    exec(file.read().partition("# -- end of the socket holder")[0])
hold()"""
"""Runs the holder without the rest of this file, to save memory."""


def main(mode):
    global PARENT_PID
    if mode == "hold":
        command = [sys.executable, "-I", "-S", "-c", HOLD, "hold", os.path.abspath(__file__)]
        os.execv(sys.executable, command)  # nosec B606
    if mode == "ready":
        is_ready = ReadyFile(Settings(os.environ).ready).is_locked()
        print("ready" if is_ready else "not ready")
        sys.exit(0 if is_ready else 1)
    # Other arguments belong to the function.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]
    sys.path.insert(0, os.getcwd())
    os.environ.setdefault("PYTHONUNBUFFERED", "1")  # for children
    PARENT_PID = os.getpid()
    runtime = Runtime(RuntimeSettings(os.environ))
    try:
        runtime.start()
    except Refused:
        raise
    except BaseException as failure:
        leave_if_forked(failure)
        traceback.print_exception(type(failure), failure, failure.__traceback__)
        name = type(failure).__name__
        raise Refused("ASYA_HANDLER is %r, but loading it raises %s: see above" % (runtime.settings.handler, name))
    runtime.run()


if __name__ == "__main__":
    try:
        main(" ".join(sys.argv[1:]))
    except Refused as refused:
        log(str(refused))
        flush()
        os._exit(1)
