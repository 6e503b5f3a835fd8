"""A gate in the way of jobs: a test knows when they stand there, and lets them through when it wants."""

import time
from pathlib import Path

from uuid_utils.compat import uuid7

OPENED = "opened"
POLL_SECONDS = 0.02


class Gate:
    """The test's side: a folder through which it and the processes of workers tell each other."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def arrivals(self) -> int:
        """Count runs that ever came to it; one whose worker was killed there comes again."""
        return len(list(self.folder.glob("arrived-*")))

    def open(self) -> None:
        (self.folder / OPENED).touch()


def stand_at(folder: Path) -> None:
    """Tell that a run is there, and stay until the gate is open: the job's side."""
    (folder / f"arrived-{uuid7()}").touch()
    while not (folder / OPENED).exists():
        time.sleep(POLL_SECONDS)
