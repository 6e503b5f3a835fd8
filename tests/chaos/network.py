"""A network that can fail: a TCP proxy in a process of its own, which slows down nobody else.

`tests.support.proxy` only goes silent; this one also hangs up, and loses the answers to requests.
Run as ``python -m tests.chaos.network TARGET_PORT`` it prints its port and reads one mode per line.
"""

import asyncio
import contextlib
import subprocess
import sys
from enum import StrEnum
from types import TracebackType
from typing import Self

from config.settings import ROOT
from ops.port import LOOPBACK


class Mode(StrEnum):
    """What the network does."""

    WHOLE = "whole"
    CUT = "cut"
    """Every connection is reset, and none can be made."""
    SILENT = "silent"
    """Nothing passes and nobody is told."""
    DEAF = "deaf"
    """Requests arrive and their answers do not: the sender never learns what was done."""


class Network:
    """The way to one server, as a child process."""

    def __init__(self, target: int) -> None:
        command = [sys.executable, "-m", "tests.chaos.network", str(target)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # closes its input, at which it ends

    def become(self, mode: Mode) -> None:
        """Change what the network does, and wait until it does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{mode}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()


class _Proxy:
    """Forwards connections as the mode says."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._mode = Mode.WHOLE
        self._may_pass = asyncio.Event()
        self._may_pass.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Serve until the input ends."""
        server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the parent reads it
        commands = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while line := await commands.readline():
            self._become(Mode(line.decode().strip()))
            print("done", flush=True)  # noqa: T201 - the parent waits for it
        server.close()
        self._hang_up()

    def _become(self, mode: Mode) -> None:
        if mode is Mode.CUT or self._mode is Mode.DEAF:
            self._hang_up()
        self._mode = mode
        if mode is Mode.SILENT:
            self._may_pass.clear()
        else:
            self._may_pass.set()

    def _hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            await self._may_pass.wait()
            if self._mode is not Mode.CUT:
                await self._forward(reader, writer)
        writer.transport.abort()
        self._writers.discard(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._target)
        self._writers.add(server_writer)
        there = asyncio.ensure_future(self._copy(reader, server_writer, answers=False))
        back = asyncio.ensure_future(self._copy(server_reader, writer, answers=True))
        await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        server_writer.transport.abort()
        writer.transport.abort()
        await asyncio.gather(there, back, return_exceptions=True)
        self._writers.discard(server_writer)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await reader.read(65536):
            await self._may_pass.wait()
            if answers and self._mode is Mode.DEAF:
                continue
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":

    async def main() -> None:
        await _Proxy(int(sys.argv[1])).serve()

    asyncio.run(main())
