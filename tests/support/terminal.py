"""A program on a terminal of its own: what it draws, what it is told by keys, how it leaves the terminal."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from tests.support.wait import wait_until

HOME = b"\x1b[H"
"""Where each frame begins."""
OTHER_SCREEN, OWN_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
HIDDEN_CURSOR, SHOWN_CURSOR = b"\x1b[?25l", b"\x1b[?25h"
SIZE = ("COLUMNS", "LINES")
"""What readline, in whatever process began all this, says of the terminal there."""
END = b"\x1b[0m-- the end --"
"""What a test writes after a program that has ended."""
CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
CONTROLLED = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal the program's own, so that Ctrl-C reaches it."""


class Terminal:
    """Runs a command on a pseudo terminal of so many columns and rows."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], columns: int, rows: int
    ) -> None:
        self._ours, self._its = os.openpty()
        fcntl.ioctl(self._its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.rows, self.columns = rows, columns
        self._drawn = bytearray()
        self._command = [sys.executable, "-c", CONTROLLED, *command]
        given = {name: value for name, value in environment.items() if name not in SIZE}
        self._environment = {**given, "TERM": "xterm-256color"}
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(  # noqa: S603 - the test's own command
            self._command,
            env=self._environment,
            stdin=self._its,
            stdout=self._its,
            stderr=self._its,
        )
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._its)
        self._reader.join()  # it reads until nobody has the other end
        os.close(self._ours)

    @property
    def drawn(self) -> bytes:
        return bytes(self._drawn)

    def all_drawn(self) -> bytes:
        """Return what a program that has ended drew: it may have gone before we had read all of it."""
        os.write(self._its, END)
        wait_until(lambda: END in self.drawn)
        return self.drawn.partition(END)[0]

    @property
    def mode(self) -> list[Any]:
        """Whether it echoes, waits for Enter and so on."""
        return termios.tcgetattr(self._its)

    def frame(self) -> list[str]:
        """Return the lines of the last whole frame; none before there is one."""
        frames = self.drawn.split(HOME)[1:-1]
        return CONTROL.sub(b"", frames[-1]).decode().splitlines() if frames else []

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def _read(self) -> None:
        with suppress(OSError):  # the end of a terminal
            while read := os.read(self._ours, 65_536):
                self._drawn += read
