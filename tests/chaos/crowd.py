"""Many clients that send half of something and then wait.

``python -m tests.chaos.crowd PORT CONNECTIONS SECONDS``. Half of the clients stop in the handshake. A sixth each stop
in the head or in the body of a request, or do not read the responses. A client that the server disconnects connects
again. The program prints a line when all clients have connected.
"""

import asyncio
import contextlib
import resource
import socket
import ssl
import sys
import time

from tests.chaos.rude import BODY, head

PAUSE_SECONDS = 5.0
"""Seconds before a disconnected client connects again. Otherwise the crowd's handshakes would dominate the result."""
COMING_SECONDS = 60.0
HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
SENT = {
    "handshake": HALF_HELLO,
    "head": b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Ty",
    "body": head("application/json", 10_000) + BODY,
    "reader": (head("application/json", len(BODY)) + BODY) * 50,
}


class Crowd:
    """The clients, and how many of them have connected once."""

    def __init__(self, port: int, size: int, seconds: float) -> None:
        self._port, self._size, self._seconds, self._connected = port, size, seconds, 0
        self._context = ssl._create_unverified_context()
        self._few = asyncio.Semaphore(400)

    async def run(self) -> None:
        """Connect all clients. Keep them for this time after the last one has connected."""
        kinds = ["handshake", "head", "handshake", "body", "handshake", "reader"]
        tasks = [asyncio.create_task(self._one(kinds[n % len(kinds)])) for n in range(self._size)]
        began = time.monotonic()
        while self._connected < self._size and time.monotonic() < began + COMING_SECONDS:
            await asyncio.sleep(0.05)
        print(f"{self._connected} connections", flush=True)
        await asyncio.sleep(self._seconds)
        for task in tasks:
            task.cancel()

    async def _one(self, kind: str) -> None:
        first = True
        while True:
            with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                async with self._few:
                    reader, writer = await self._open(kind)
                    writer.write(SENT[kind])
                self._connected += first
                first = False
                if kind == "reader":
                    writer.transport.pause_reading()  # type: ignore[attr-defined]
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    await reader.read()
                writer.transport.abort()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _open(self, kind: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        sock.setblocking(False)
        if kind == "reader":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        tls = {} if kind == "handshake" else {"ssl": self._context, "server_hostname": "x"}
        return await asyncio.open_connection(sock=sock, **tls)  # type: ignore[arg-type]


def main() -> None:
    """Run the crowd that the command line describes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(Crowd(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])).run())


if __name__ == "__main__":
    main()
