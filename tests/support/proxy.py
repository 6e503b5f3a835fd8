"""A network between a client and a server that a test can cut; it can speak TLS on behalf of the server."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Self

from ops.port import LOOPBACK

SETTLE = 0.05
"""Seconds in which connections that are being closed, such as after a failed handshake, come to their end."""


class Proxy:
    """Forwards TCP connections to a server on this machine.

    Args:
        port: Where the server listens; it may change while the network is cut.
        tls: Ends TLS here, for a server that speaks none.
    """

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.target = port
        self.port = 0
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._await(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._await(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Let nothing through, and tell nobody: connections stay open and silent."""
        self._await(self._shut())

    def restore(self) -> None:
        """Let everything through that was held back."""
        self._loop.call_soon_threadsafe(self._open.set)

    def restore_for_new_connections(self) -> None:
        """Let new connections through; those of before the cut stay silent, as after a router forgot them."""
        self._await(self._replace_gate())

    async def _shut(self) -> None:
        self._open.clear()

    async def _replace_gate(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    async def _listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._forward, LOOPBACK, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(SETTLE)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        gate = self._open
        with contextlib.suppress(OSError, asyncio.CancelledError), _ended(writer):
            await gate.wait()
            server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self.target)
            with _ended(server_writer):
                ways = [_copy(reader, server_writer, gate), _copy(server_reader, writer, gate)]
                copies = [asyncio.ensure_future(way) for way in ways]
                try:
                    await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for copy in copies:
                        copy.cancel()
                    await asyncio.gather(*copies, return_exceptions=True)

    def _await(self, coroutine: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


@contextlib.contextmanager
def _ended(writer: asyncio.StreamWriter) -> Iterator[None]:
    """End the connection, whatever the other side does."""
    try:
        yield
    finally:
        writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
    while data := await reader.read(65536):
        await gate.wait()
        writer.write(data)
        await writer.drain()
