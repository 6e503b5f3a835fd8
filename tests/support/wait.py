"""Wait for what another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02


class StillFalseError(AssertionError):
    """What a test waited for did not come about."""


def wait_until(predicate: Callable[[], T], timeout: float = 30.0, *, message: str | None = None) -> T:
    """Call *predicate* until what it returns is true, and return that.

    Args:
        timeout: Seconds after which the test fails.
        message: Says what was waited for; None shows the predicate's last value.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise StillFalseError(f"not within {timeout} s: {message or predicate} (last value {value!r})")
        time.sleep(POLL_SECONDS)
