"""The folder of one test process under var/test; what a killed run left behind is swept."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from config.settings import ROOT

TEST_DIRECTORY = ROOT / "var" / "test"


@contextmanager
def workspace(worker: str) -> Iterator[Path]:
    """Make a folder that no other run uses, and remove it at the end."""
    TEST_DIRECTORY.mkdir(parents=True, exist_ok=True)
    directory = TEST_DIRECTORY / f"{worker}-{os.getpid()}"
    with ExitStack() as exits:
        with (TEST_DIRECTORY / "lock").open("w") as door:
            # One at a time: a folder that is there and not locked yet looks like one that was left behind.
            fcntl.flock(door, fcntl.LOCK_EX)
            _sweep()
            directory.mkdir()
            lock = exits.enter_context((directory / "in-use").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory
        shutil.rmtree(directory)  # before the lock goes, or another run sweeps it at the same time


def _sweep() -> None:
    for lock_file in TEST_DIRECTORY.glob("*/in-use"):
        with suppress(BlockingIOError, FileNotFoundError), lock_file.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock_file.parent, ignore_errors=True)
