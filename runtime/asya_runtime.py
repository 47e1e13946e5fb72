"""Asya runtime: calls the user's function for each message that the sidecar hands over a Unix socket.

One connection a message. A frame is a 4-byte big-endian length and that many bytes of UTF-8 JSON. The
request is {"id", "route": {"actors": [...], "current": n}, "headers", "payload"}; the answer is always a
JSON array: results, [] to stop the route, or one element with "error" and "details".

Standard library only, Python 3.7 and newer: it runs in the user's image.
"""

import asyncio
import importlib
import inspect
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback

SOCKET_NAME = "asya-runtime.sock"
DEFAULT_PATH = "/var/run/asya/" + SOCKET_NAME
DEFAULT_MAX_SIZE = 10 * 1024 * 1024
CLIENT_TIMEOUT = 30.0
"""Seconds that a client may take over a whole frame; a large one takes well under one."""
STOP_SECONDS = 10.0
"""Seconds that an abandoned handler has to stop before the process is replaced."""
INHERITED = "ASYA_RUNTIME_LISTENER"
"""Number of the listening socket that the process before this one left open."""


class BadMessage(Exception):
    """A frame that cannot be handled; the message says why."""


class Abandoned(BaseException):
    """Raised in a handler whose client has hung up while another waits: nobody wants the answer any more."""


class Watch:
    """Keeps a handler that blocks from blocking the messages after it.

    A sidecar whose timeout has passed hangs up. If another message waits by then, the handler is interrupted,
    in a blocking call too; what goes on all the same, in a C extension say, is replaced with the whole
    process, which takes the listening socket over, so that the message that waits is answered.
    """

    def __init__(self, listener):
        self.listener = listener
        self.count = self.current = self.victim = 0  # numbers of messages, 0 for none
        self.connection = 0
        self.main = threading.get_ident()
        self.hung_up = select.epoll() if hasattr(select, "epoll") else None  # elsewhere a handler may block
        if self.hung_up is not None:
            signal.signal(signal.SIGRTMIN, self.interrupt)
            threading.Thread(target=self.run, args=(self.hung_up,), name="asya-runtime-watch", daemon=True).start()

    def begin(self, connection):
        """The handler is about to be called for the message of ``connection``."""
        self.connection = connection.fileno()
        self.count += 1
        self.current = self.count
        if self.hung_up is not None:
            # Only the peer's close counts: one that has merely finished writing still reads.
            self.hung_up.register(self.connection, select.EPOLLHUP | select.EPOLLONESHOT)

    def end(self):
        """The handler has returned."""
        self.current = 0
        if self.hung_up is not None:
            self.hung_up.unregister(self.connection)

    def interrupt(self, _number, _frame):
        """Runs on the main thread, wherever that is."""
        if self.current and self.current == self.victim:
            self.victim = 0
            raise Abandoned("the client hung up, and another message waits")

    def run(self, hung_up):
        """Wait for clients that hang up."""
        while True:
            hung_up.poll()
            message, poller = self.current, select.poll()
            poller.register(self.connection, 0)
            if not message or not poller.poll(0):
                continue  # the event was of the message before
            while self.current == message:
                if select.select([self.listener], [], [], 0.1)[0]:
                    self.stop(message)

    def stop(self, message):
        """Interrupt the handler of ``message``; if that does not help, start the process anew."""
        self.victim = message
        signal.pthread_kill(self.main, signal.SIGRTMIN)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if self.current != message:
                return
            time.sleep(0.02)
        print("asya-runtime: the handler does not stop; starting anew", file=sys.stderr, flush=True)
        with open("/proc/self/cmdline", "rb") as file:
            command = file.read().split(b"\0")[:-1]
        self.listener.set_inheritable(True)
        os.environ[INHERITED] = str(self.listener.fileno())
        os.execv(sys.executable, command)  # nosec B606


def settings(env):
    """Socket path, mode, largest frame, handler and mode, from the environment."""
    path = env.get("ASYA_SOCKET_PATH") or os.path.join(
        env.get("ASYA_SOCKET_DIR") or os.path.dirname(DEFAULT_PATH), SOCKET_NAME
    )
    mode = env.get("ASYA_HANDLER_MODE") or "payload"
    if mode not in ("payload", "envelope"):
        raise SystemExit("ASYA_HANDLER_MODE must be payload or envelope; found %r" % mode)
    return {
        "path": path,
        "chmod": int(env.get("ASYA_SOCKET_CHMOD") or "0o666", 8),
        "max_size": int(env.get("ASYA_SOCKET_MAX_SIZE") or DEFAULT_MAX_SIZE),
        "handler": env.get("ASYA_HANDLER") or "",
        "mode": mode,
    }


def load(name):
    """The callable that ``module.function`` or ``module.Class.method`` names; the class is instantiated once."""
    parts = name.split(".")
    if len(parts) < 2:
        raise SystemExit("ASYA_HANDLER must be module.function or module.Class.method; found %r" % name)
    for split in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:split])
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if split > 1 and error.name and module_name.startswith(error.name):
                continue
            raise
        break
    found = module  # type: object
    for part in parts[split:-1]:
        found = getattr(found, part)
        if inspect.isclass(found):
            found = found()
    return getattr(found, parts[-1])


def call(handler, argument):
    """The handler's results as a list: nothing for None, each element of a list or generator."""
    result = handler(argument)
    if inspect.isawaitable(result):
        loop = asyncio.new_event_loop()
        try:
            result = loop.run_until_complete(result)
        finally:
            loop.close()
    if result is None:
        return []
    if isinstance(result, list) or inspect.isgenerator(result):
        return list(result)
    return [result]


def error(kind, failure):
    """The answer that tells of ``failure``."""
    details = {
        "message": str(failure),
        "type": type(failure).__name__,
        "traceback": "".join(traceback.format_exception(type(failure), failure, failure.__traceback__)),
    }
    return [{"error": kind, "details": details}]


def answer(data, handler, mode):
    """The answer to the frame ``data``; ``handler`` takes what the mode says and returns a list."""
    try:
        message = json.loads(data.decode("utf-8"))
        if not isinstance(message, dict) or "payload" not in message:
            raise BadMessage("a message is an object with a payload")
        route = message.get("route") or {}
        if not isinstance(route, dict) or not isinstance(route.get("current", 0), int):
            raise BadMessage("route: must be an object, and its current a whole number")
    except (ValueError, RecursionError, BadMessage) as bad:
        return error("msg_parsing_error", bad)
    try:
        if mode == "envelope":
            return handler(message)
        headers = message.get("headers") or {}
        onward = dict(route, current=route.get("current", 0) + 1)
        return [{"payload": r, "route": onward, "headers": headers} for r in handler(message["payload"])]
    except BaseException as failure:  # the handler's faults, SystemExit too, are the message's and not this process's
        return error("processing_error", failure)


def receive(connection, size, deadline):
    """Exactly ``size`` bytes, by ``deadline``."""
    parts = bytearray()
    while len(parts) < size:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise BadMessage("the connection was closed after %d of %d bytes" % (len(parts), size))
        parts += part
    return bytes(parts)


def serve_one(connection, handler, options, watch):
    """Answer the one message of ``connection``."""
    deadline = time.monotonic() + CLIENT_TIMEOUT

    def watched(argument):
        watch.begin(connection)
        try:
            return call(handler, argument)
        finally:
            watch.end()

    try:
        size = struct.unpack(">I", receive(connection, 4, deadline))[0]
        if size > options["max_size"]:
            raise BadMessage("the frame has %d bytes, more than ASYA_SOCKET_MAX_SIZE (%d)" % (size, options["max_size"]))
        result = answer(receive(connection, size, deadline), watched, options["mode"])
    except (OSError, BadMessage, Abandoned) as bad:
        result = error("connection_error", bad)
    try:
        data = json.dumps(result, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as bad:  # what the handler returned is no JSON
        data = json.dumps(error("processing_error", bad)).encode("utf-8")
    try:
        connection.settimeout(CLIENT_TIMEOUT)
        connection.sendall(struct.pack(">I", len(data)) + data)
    except OSError as gone:
        print("asya-runtime: the client went away: %s" % gone, file=sys.stderr)


def listen(path, made, options):
    """The listening socket at ``path``: the one that an earlier process left open, or a new one."""
    inherited = os.environ.pop(INHERITED, "")
    if inherited:
        listener = socket.socket(fileno=int(inherited))
        listener.set_inheritable(False)
        return listener
    for stale in made:
        if os.path.lexists(stale):
            os.unlink(stale)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, options["chmod"])
    listener.listen(64)
    link = os.path.join(os.path.dirname(path), SOCKET_NAME)
    if link != path:
        os.symlink(os.path.basename(path), link)
    return listener


def main():
    """Serve until SIGTERM."""
    options = settings(os.environ)
    handler = load(options["handler"])
    path = options["path"]
    ready = os.path.join(os.path.dirname(path), "runtime-ready")
    made = sorted({path, ready, os.path.join(os.path.dirname(path), SOCKET_NAME)})
    listener = listen(path, made, options)
    watch = Watch(listener)
    # SIGTERM only writes a byte: the message in hand is finished, and none that was accepted is lost.
    waker, wakened = socket.socketpair()
    for end in (waker, wakened):
        end.setblocking(False)
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    signal.set_wakeup_fd(wakened.fileno())
    with open(ready, "w"):
        pass
    print("asya-runtime: %s listens on %s" % (options["handler"], path), file=sys.stderr)
    try:
        while True:
            arrived = select.select([listener, waker], [], [])[0]
            if waker in arrived and signal.SIGTERM in waker.recv(64):
                break
            if listener in arrived:
                with listener.accept()[0] as connection:
                    serve_one(connection, handler, options, watch)
    finally:
        for name in made:
            if os.path.lexists(name):
                os.unlink(name)


if __name__ == "__main__":
    main()
