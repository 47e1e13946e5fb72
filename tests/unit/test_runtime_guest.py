"""The runtime script in the user's process: the user's code cannot stop it, and it does not disturb the user's code."""

import os
import signal
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runtime import SCRIPT
from tests.harness.clusters import wait_for
from tests.harness.script import gone, interpreters

HANDLERS = '''
import asyncio, multiprocessing, os, signal, subprocess, sys, threading, time

def echo(payload): return payload
def double(n): return 2 * n
def pool(payload):
    with multiprocessing.get_context("fork").Pool(2) as workers:
        return workers.map(double, payload)
def process(payload):
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    worker.start()
    worker.terminate()
    worker.join(10)
    return worker.exitcode
def shell(payload):
    done = subprocess.run(["sh", "-c", payload], capture_output=True)
    return [done.returncode, done.stdout.decode()]
def fork_and_return(payload):
    return {"child": os.fork()}
def fork_and_raise(payload):
    child = os.fork()
    if child == 0:
        raise ValueError("in the child")
    return {"child": child}
def fork_and_sleep(payload):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    return {"child": child}
def own_handlers(payload):
    signal.signal(signal.SIGTERM, lambda *_: print("theirs", flush=True))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    return payload
def alarm(*_): raise TimeoutError("an alarm between two messages")
def restores(payload):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, before)
    return payload
async def loop_handlers(payload):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: print("theirs", flush=True))
    return payload
def chains(payload):
    def handler(*args):
        print("theirs", flush=True)
        if callable(before):
            before(*args)
    before = signal.signal(signal.SIGTERM, handler)
    return payload
def chains_looked_up(payload):
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *args: (print("theirs", flush=True), before(*args)))
    return payload
async def loop_handlers_and_sleep(payload):
    await loop_handlers(payload)
    await asyncio.sleep(payload)
    return payload
def run_with_handlers(payload):
    return asyncio.run(loop_handlers_and_sleep(payload))
def default_handler_and_sleep(payload):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(payload)
    return payload
def say_in_a_child(payload):
    with multiprocessing.get_context("spawn").Pool(1) as workers:
        workers.map(say, payload)
class Wordless(Exception):
    def __str__(self):
        raise SystemExit(1)
def raise_wordless(payload): raise Wordless

class Client:
    """What belongs to the loop in which it was made, like the clients of databases."""
    opened = None
    ticks = 0
    async def use(self):
        loop = asyncio.get_running_loop()
        if self.opened is None:
            self.opened = loop
            self.server = await asyncio.start_server(self.greet, "127.0.0.1", 0)
            self.reader, self.writer = await asyncio.open_connection(*self.server.sockets[0].getsockname())
            self.task = loop.create_task(self.tick())
        self.writer.write(b"hello\\n")
        return [(await asyncio.wait_for(self.reader.readline(), 5)).decode(), self.ticks]
    async def greet(self, reader, writer):
        while True:
            writer.write(await reader.readline())
    async def tick(self):
        while True:
            self.ticks += 1
            await asyncio.sleep(0.01)
client = Client()
async def use_client(payload):
    return await client.use()
async def get(payload): return payload
def own_loop(payload):
    return asyncio.run(get(payload))
def old_style(payload):
    return asyncio.get_event_loop().run_until_complete(get(payload))
def say(payload):
    print(payload)
    time.sleep(1)
def leave(payload):
    sys.exit(7)
def thread(payload):
    threading.Thread(target=time.sleep, args=(60,)).start()
    return payload
def files(payload):
    client.files = [open(os.devnull) for _ in range(1100)]
    return len(client.files)
async def background_exit(payload):
    async def leave():
        sys.exit(5)
    client.leaving = asyncio.get_running_loop().create_task(leave())
    return payload
def sleep(payload):
    time.sleep(payload)
    return payload
async def sleep_async(payload):
    await asyncio.sleep(payload)
    return payload

def any(payload):
    name, argument = payload
    return globals()[name](argument)
'''


@pytest.fixture
def script(scripts: Any) -> Any:
    """A script for several tests."""
    return scripts(HANDLERS, "handlers.any")


def ask(script: Any, name: str, payload: Any = None) -> Any:
    """Call a function by HTTP. Return its result."""
    status, answer = script.post([name, payload])
    assert status == 200, answer
    return answer["frames"][0]["payload"]


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: Path(path).name)
def test_multiprocessing_subprocess_and_asyncio(scripts: Any, python: str) -> None:
    script = scripts(HANDLERS, "handlers.any", python=python)
    for n in range(3):
        assert ask(script, "pool", [1, 2, 3]) == [2, 4, 6]
        assert ask(script, "process") == -signal.SIGTERM
        assert ask(script, "shell", "echo out; kill -TERM $$") == [-signal.SIGTERM, "out\n"]
        assert ask(script, "own_loop", n) == n
        assert ask(script, "use_client")[0] == "hello\n"
        assert ask(script, "old_style", n) == n
    assert script.stop() == 0


@pytest.mark.parametrize("name", ["fork_and_return", "fork_and_raise"])
def test_a_forked_child_that_returns_does_not_answer(script: Any, name: str) -> None:
    for _ in range(3):
        assert gone(ask(script, name)["child"]), "the child process serves messages"
    assert ask(script, "echo", 1) == 1
    assert ("in the child" in script.log()) == (name == "fork_and_raise")


def test_a_forked_child_ends_on_sigterm_and_holds_nothing(script: Any, tmp_path: Path) -> None:
    child = ask(script, "fork_and_sleep")["child"]
    os.kill(child, signal.SIGTERM)
    assert gone(child), "the child process ignores SIGTERM"
    child = ask(script, "fork_and_sleep")["child"]
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    ours = {f"socket:[{line[6]}]" for line in lines if str(tmp_path) in line[-1]}

    def held() -> set[str]:
        matches = set()
        for link in Path(f"/proc/{child}/fd").iterdir():
            with suppress(FileNotFoundError):  # it may close while the test looks
                matches.add(str(link.readlink()))
        return matches

    assert ours
    wait_for("the child to close what is the runtime's", lambda: not ours & held())
    assert ask(script, "echo", 1) == 1
    assert script.stop() == 0
    assert not (tmp_path / "runtime-ready").exists()
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("name", ["own_handlers", "restores", "loop_handlers"])
def test_signal_handlers_of_the_function_are_called_and_sigterm_still_ends_the_runtime(script: Any, name: str) -> None:
    for n in range(2):
        assert ask(script, name, n) == n
        time.sleep(0.3)  # until the alarm
    assert ask(script, "shell", "echo x") in ([0, "x\n"], [-1, "x\n"])
    assert script.stop() == 0
    assert ("theirs" in script.log()) == (name != "restores")


@pytest.mark.parametrize("name", ["chains", "chains_looked_up"])
def test_a_signal_handler_that_calls_the_previous_one_is_called_once(script: Any, name: str) -> None:
    for n in range(2):
        assert ask(script, name, n) == n
    assert script.stop() == 0
    assert script.log().count("theirs") in (1, 2), "the handler calls itself"


def test_a_client_of_the_event_loop_works_in_later_messages_and_tasks_continue(script: Any) -> None:
    ticks = []
    for _ in range(3):
        answer, ticked = ask(script, "use_client")
        assert answer == "hello\n"
        ticks.append(ticked)
        time.sleep(0.2)
    assert ticks[1] > ticks[0] + 5, "no task ran between the messages"
    assert ask(script, "own_loop", 1) == 1
    assert ask(script, "use_client")[0] == "hello\n"
    assert ask(script, "background_exit", 1) == 1
    assert ask(script, "echo", 1) == 1
    assert script.stop() == 0


def test_print_appears_at_once(script: Any) -> None:
    caller = threading.Thread(target=script.post, args=(["say", "words"],))
    caller.start()
    wait_for("the words", lambda: "words" in script.log())
    assert caller.is_alive(), "the output appeared only after the message"
    caller.join()


def test_the_working_directory_is_searched_for_modules(scripts: Any, tmp_path: Path) -> None:
    """All tests here rely on it. This one has a package without PYTHONPATH."""
    package = tmp_path / "app"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "work.py").write_text("def run(payload): return [payload, __name__]\n")
    assert [r["payload"] for r in scripts(HANDLERS, "app.work.run").call(1)] == [1, "app.work"]


def test_exits_and_remaining_threads_do_not_delay_it(script: Any) -> None:
    status, answer = script.post(["leave", 1])
    assert (status, answer["details"]["type"]) == (500, "SystemExit")
    assert ask(script, "thread", 1) == 1
    began = time.monotonic()
    assert script.stop() == 0
    assert time.monotonic() - began < 8


def test_more_than_a_thousand_open_files(script: Any) -> None:
    assert ask(script, "files") == 1100
    assert ask(script, "echo", 1) == 1
    assert script.call(["echo", 2])[0]["payload"] == 2


def test_print_of_a_child_appears_at_once(script: Any) -> None:
    caller = threading.Thread(target=script.post, args=(["say_in_a_child", ["words"]],))
    caller.start()
    wait_for("the words", lambda: "words" in script.log())
    assert caller.is_alive(), "the output appeared only after the message"
    caller.join()


def test_an_exception_without_text_is_answered(script: Any) -> None:
    status, answer = script.post(["raise_wordless", 1])
    assert (status, answer["details"]["type"].rpartition(".")[2]) == (500, "Wordless")


OWN_HANDLERS = ["loop_handlers_and_sleep", "run_with_handlers", "default_handler_and_sleep"]


@pytest.mark.parametrize("name", ["sleep", "sleep_async", *OWN_HANDLERS])
def test_sigterm_lets_a_message_in_hand_finish(script: Any, name: str) -> None:
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(script.post([name, 0.6])))
    caller.start()
    time.sleep(0.3)
    assert script.stop() == 0
    caller.join()
    assert answers[0][1]["frames"][0]["payload"] == 0.6


HANG = """
import ctypes, time
def sleep(payload):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
async def block(payload):
    time.sleep(60)
def holds_the_lock(payload):
    ctypes.PyDLL(None).sleep(60)
"""


@pytest.mark.parametrize("name", ["sleep", "block", "holds_the_lock"])
def test_a_hanging_function_ends_the_process_and_the_log_has_its_position(
    scripts: Any, tmp_path: Path, name: str
) -> None:
    impatient = tmp_path / "impatient.py"
    impatient.write_text(SCRIPT.read_text().replace("PATIENCE_SECONDS = 5.0", "PATIENCE_SECONDS = 0.3"))
    script = scripts(HANG, f"handlers.{name}", script=impatient, ASYA_RUNTIME_TIMEOUT="500ms")
    caller = threading.Thread(target=lambda: script.raw(struct.pack(">I", 14) + b'{"payload": 0}'))
    caller.start()
    code = script.process.wait(10)
    caller.join()
    assert code == (1 if name == "holds_the_lock" else 3)
    assert f"in {name}" in script.log()


def test_the_containers_own_arguments_reach_the_function(scripts: Any) -> None:
    code = "import sys\ndef arguments(payload): return sys.argv[1:]\n"
    script = scripts(code, "handlers.arguments", arguments=("--verbose", "2"))
    assert script.post(None)[1]["frames"][0]["payload"] == ["--verbose", "2"]
