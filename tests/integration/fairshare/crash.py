"""The plain app in a worker that dies without warning at a named point of a job's way through it."""

import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any

from kombu.utils.imports import symbol_by_name

JOBS_BEFORE = 3
"""Jobs that pass the point unharmed."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(owner: Any, name: str, *, before: bool, of_jobs: Callable[..., int]) -> None:
    """Make *owner*'s function kill; *of_jobs* counts, of its result and arguments, the jobs that passed."""
    original = getattr(owner, name)
    passed = 0

    @wraps(original)
    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal passed
        result = None if before else original(*args, **kwargs)
        passed += of_jobs(result, *args)
        if passed > JOBS_BEFORE:
            die()
        return original(*args, **kwargs) if before else result

    setattr(owner, name, deadly)


def one(*_: object) -> int:
    return 1


def told(_: object, __: object, command: bytes | list[bytes], *___: object) -> int:
    """Count the acknowledgements in what goes to the server."""
    data = command if isinstance(command, bytes) else b"".join(command)
    return data.count(b'"ack"')


def taken(result: Any, *_: object) -> int:
    return len(result)


TASKS = "tests.integration.fairshare.plain_tasks"
POINTS: dict[str, tuple[str, str, bool, Callable[..., int]]] = {
    "leased, and the answer not taken up": (
        "worker.fairshare.conversation",
        "read_reserved",
        False,
        lambda result, *_: len(result[0]),
    ),
    "taken up, and not handed over": ("worker.fairshare.keeper:Keeper", "begin", True, one),
    "handed over, and not begun": (f"{TASKS}:take_effect", "run", True, one),
    "running": (TASKS, "note", False, one),
    "done, and not acknowledged": ("worker.fairshare.channel:Channel", "job_ended", True, one),
    "acknowledged, and not told": ("worker.fairshare.keeper:Keeper", "take_ends", False, taken),
    "told, and not heard": ("redis.connection:AbstractConnection", "send_packed_command", False, told),
}

point = os.environ.get("PLAIN_CRASH")
if point:
    owner, name, before, of_jobs = POINTS[point]
    crash(symbol_by_name(owner), name, before=before, of_jobs=of_jobs)
