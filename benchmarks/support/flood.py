"""Waits of quiet tenants beside a tenant with very many jobs, with a real worker."""

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from support import journal
from support.celery_system import CelerySystem
from support.lane import clone
from support.system import OURS

from worker.fairshare.message import task_message
from worker.fairshare.queue import Entry, FairQueue

LOUD = "loud"
QUIET_TENANTS = 50
SLOTS = 4
JOB_SECONDS = 0.02
BUSY_JOBS = 20_000
COMES_DUE_AFTER = timedelta(seconds=30)
"""Enough to write a million delayed jobs, start a worker and see how others wait before."""
PAUSE = 0.05
"""Seconds between two jobs of quiet tenants: with all slots busy they use a quarter of the worker."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long quiet tenants' jobs waited (s)."""

    median: float
    p99: float
    longest: float

    @classmethod
    def of(cls, runs: list[journal.Run]) -> "Waits":
        """Summarize runs."""
        waits = [run.wait for run in runs]
        return cls(*(float(value) for value in np.percentile(waits, (50, 99, 100))))


class Flood:
    """One lane with a flood, and one worker on it."""

    def __init__(self, redis_url: str) -> None:
        self.system = CelerySystem(OURS, redis_url)
        self.queue = FairQueue(self.system.client, "bench", self.system.prefix)
        self.sent = 0

    def entry(self, tenant: str, *, due: datetime | None = None) -> Entry:
        """Make a job that holds a slot."""
        self.sent += 1
        arguments = [tenant, JOB_SECONDS, (due or datetime.now(UTC)).timestamp()]
        task_id = f"job-{self.sent}"
        message = task_message(
            "bench", "bench.sleep", task_id=task_id, args=arguments, headers={"tenant": tenant}
        )
        return Entry(task_id, message, tenant, "bench.sleep", due=due)

    def waits_beside(self, backlog: int, *, quiet_jobs: int = 250) -> Waits:
        """Flood the lane, and let quiet tenants send jobs one after another."""
        clone(self.queue, self.entry(LOUD), backlog)
        with self.system.worker("threads", SLOTS):
            self.system.wait_until_left(backlog - 20, seconds=60)
            self._send_quietly(quiet_jobs)
            return Waits.of(self._ended(quiet_jobs))

    def waits_around(self, delayed: int, *, quiet_jobs: int = 80) -> tuple[Waits, Waits]:
        """Let a tenant's delayed jobs all come due at once; return the others' waits before and after.

        Another tenant keeps every slot busy all the time, so that only the delayed jobs make a difference.
        """
        due = datetime.now(UTC) + COMES_DUE_AFTER
        clone(self.queue, self.entry(LOUD, due=due), delayed)
        with self.system.worker("threads", SLOTS):
            clone(self.queue, self.entry("busy"), BUSY_JOBS)
            self.system.wait_until_left(delayed + BUSY_JOBS - 20, seconds=60)
            self._send_quietly(quiet_jobs)
            before = self._ended(quiet_jobs)
            time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
            self._send_quietly(quiet_jobs)
            ended = self._ended(2 * quiet_jobs)
        return Waits.of(before), Waits.of(ended[len(before) :])

    def _send_quietly(self, jobs: int) -> None:
        """Send one job after another, each of another quiet tenant, at random distances."""
        for n in range(jobs):
            time.sleep(random.uniform(0, 2 * PAUSE))
            self.queue.enqueue([self.entry(f"quiet-{n % QUIET_TENANTS}")])

    def _ended(self, jobs: int) -> list[journal.Run]:
        """Wait for so many jobs of quiet tenants, and return them in the order in which they were sent."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            runs = [run for run in journal.read(self.system.journal) if run.tenant.startswith("quiet")]
            if len(runs) >= jobs:
                return sorted(runs, key=lambda run: run.sent)
            time.sleep(0.05)
        raise TimeoutError("the quiet tenants' jobs did not end")

    def close(self) -> None:
        """Delete everything."""
        self.system.close()
