"""Show jobs end, and wait for them."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from models.session import Database
from ops.demo import measure
from ops.demo.client import Participant
from ops.error import OperatorError

LONGEST = timedelta(minutes=4)
LOOK_EVERY_SECONDS = 0.25


class TooSlowError(OperatorError):
    """Jobs were still on their way when the demo's time was up; carries how many."""

    def __init__(self, left: int) -> None:
        super().__init__(f"{left} jobs had not ended after {LONGEST}; the logs are in var/demo/log.")
        self.left = left


class Watch:
    """One progress bar per organization."""

    def __init__(self, database: Database, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._database = database
        self._bars: dict[Participant, TaskID] = {}
        self._deadline = time.monotonic() + LONGEST.total_seconds()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def add(self, organizations: Sequence[Participant]) -> None:
        """Give each organization a bar."""
        for who in organizations:
            self._bars[who] = self._progress.add_task(who.member.name, total=None)

    def until_ended(self, part: float = 1.0) -> None:
        """Wait until that part of all jobs has ended.

        Raises:
            TooSlowError: The demo's time was up.
        """
        while True:
            done, total = self._look()
            if done >= part * total:
                return
            if time.monotonic() > self._deadline:
                raise TooSlowError(total - done)
            time.sleep(LOOK_EVERY_SECONDS)

    def _look(self) -> tuple[int, int]:
        counts = {who: measure.ended(self._database, who) for who in self._bars}
        for who, (done, total) in counts.items():
            self._progress.update(self._bars[who], completed=done, total=total)
        return sum(done for done, _ in counts.values()), sum(total for _, total in counts.values())
