"""Keys of the terminal as they are pressed, without Enter."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AT_ONCE = 32


@contextmanager
def pressed_keys() -> Iterator[Callable[[float], str]]:
    """Yield what waits so many seconds for keys at most, and returns them; "" without any.

    Ctrl-C interrupts as ever. The terminal is given back as it was; where there is none, no key is pressed.
    """
    if not sys.stdin.isatty():
        yield _no_keys
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield _keys
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _keys(seconds: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return os.read(sys.stdin.fileno(), AT_ONCE).decode(errors="replace") if ready else ""


def _no_keys(seconds: float) -> str:
    time.sleep(seconds)
    return ""
