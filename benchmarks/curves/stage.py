"""A real worker on a lane, and what is seen of it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import redis

from worker.fairshare.message import task_message
from worker.fairshare.queue import CHUNK, Entry, FairQueue, TenantSettings

SLOTS = 4
LANE = "celery"
LOOK_EVERY = 0.1
BENCHMARKS = Path(__file__).resolve().parent.parent


class Stage:
    """An empty Redis database with one lane; the worker has four slots."""

    def __init__(self, redis_url: str) -> None:
        self.url = redis_url
        self.client = redis.Redis.from_url(redis_url)
        self.client.flushdb()
        self.queue = FairQueue(self.client, LANE)
        self.journal = Path(tempfile.mkstemp(prefix="curves-", suffix=".journal")[1])
        self._made = 0

    def queue_jobs(self, tenant: str, count: int, seconds: float) -> None:
        """Queue jobs that hold a slot for *seconds* each."""
        entries = iter(self._entries(tenant, count, seconds))
        while chunk := list(islice(entries, CHUNK)):
            self.queue.enqueue(chunk)

    def weigh(self, tenant: str, weight: float) -> None:
        """Set a tenant's weight, on the backlog it has."""
        self.queue.configure(tenant, TenantSettings(weight=weight))

    def used(self) -> dict[str, float]:
        """Return the worker-seconds charged to each tenant so far."""
        return {row.tenant: row.used.total_seconds() for row in self.queue.stats()}

    def waits(self, *tenants: str) -> list[float]:
        """Return how long the tenants' jobs waited (s), those that have begun."""
        rows = (line.split() for line in self.journal.read_text().splitlines())
        return [float(wait) for tenant, wait in rows if tenant in tenants]

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Run one worker, from when it consumes."""
        environment = {
            **os.environ,
            "SHOP_BROKER": self.url.replace("redis://", "fair://", 1),
            "SHOP_JOURNAL": str(self.journal),
            "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent)]),
        }
        options = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR")
        command = [
            *(sys.executable, "-m", "celery", "-A", "curves.shop", "worker", "-P", "threads"),
            *("-c", str(SLOTS), *options),
        ]
        self.queue_jobs("warm-up", 1, 0)
        process = subprocess.Popen(  # noqa: S603 - our own worker
            command,
            env=environment,
            cwd=BENCHMARKS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not self.waits("warm-up"):
                time.sleep(LOOK_EVERY)
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        """Delete everything."""
        self.client.flushdb()
        self.client.close()
        self.journal.unlink()

    def _entries(self, tenant: str, count: int, seconds: float) -> Iterable[Entry]:
        now = time.time()
        for _ in range(count):
            self._made += 1
            task_id = f"job-{self._made}"
            message = task_message(
                LANE, "shop.work", task_id=task_id, args=[tenant, seconds, now], headers={"tenant": tenant}
            )
            yield Entry(task_id, message, tenant, "shop.work")
