"""A queue system under measurement: how its jobs are published, its worker started, its jobs counted."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import redis

BENCHMARKS = Path(__file__).resolve().parent.parent
OURS, ONE_QUEUE, QUEUE_PER_TENANT = "fair share", "celery, one queue", "celery, a queue per tenant"
DRAMATIQ, TASKIQ = "dramatiq", "taskiq"
POLL_SECONDS = 0.01

Row = tuple[str, str, tuple[object, ...]]
"""A job: its tenant, task and arguments."""


class System(ABC):
    """One system on one Redis database, in keys of its own that are deleted afterwards."""

    def __init__(self, name: str, redis_url: str, queues: Sequence[str] = ("bench",)) -> None:
        self.name = name
        self.redis_url = redis_url
        self.queues = tuple(queues)
        self.prefix = f"bench-{uuid.uuid4().hex[:8]}:"
        self.client = redis.Redis.from_url(redis_url)
        self.journal = Path(tempfile.mkstemp(prefix="bench-", suffix=".journal")[1])

    @abstractmethod
    def publish(self, rows: Sequence[Row]) -> None:
        """Publish jobs."""

    @abstractmethod
    def left(self) -> int:
        """Count jobs that are not acknowledged."""

    @abstractmethod
    def worker_command(self, pool: str, slots: int) -> list[str]:
        """Spell the worker's command line after ``python -m``."""

    @abstractmethod
    def worker_environment(self) -> Mapping[str, str]:
        """Return what the worker's app reads."""

    @contextmanager
    def worker(self, pool: str, slots: int) -> Iterator[psutil.Process]:
        """Run one worker, with the processes that it starts itself."""
        environment = {
            **os.environ,
            "BENCH_JOURNAL": str(self.journal),
            "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent)]),
            **self.worker_environment(),
        }
        process = subprocess.Popen(  # noqa: S603 - our own worker
            [sys.executable, "-m", *self.worker_command(pool, slots)],
            env=environment,
            cwd=BENCHMARKS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    @contextmanager
    def workers(self, pool: str, slots: int, count: int) -> Iterator[list[psutil.Process]]:
        """Run several workers."""
        with ExitStack() as stack:
            yield [stack.enter_context(self.worker(pool, slots)) for _ in range(count)]

    def wait_until_left(self, count: int, *, seconds: float = 300) -> float:
        """Wait until at most *count* jobs are left, and return the moment."""
        deadline = time.monotonic() + seconds
        while self.left() > count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {self.left()} jobs are left after {seconds} s")
            time.sleep(POLL_SECONDS)
        return time.monotonic()

    def memory(self) -> int:
        """Return the bytes that the server uses."""
        return int(self.client.info("memory")["used_memory"])

    def close(self) -> None:
        """Delete everything the system left."""
        for key in self.client.scan_iter(f"{self.prefix}*", count=1000):
            self.client.unlink(key)
        self.client.close()
        self.journal.unlink(missing_ok=True)


def cpu_seconds(workers: Sequence[psutil.Process]) -> float:
    """Return the processor time of workers and their children."""
    family = [member for worker in workers for member in (worker, *worker.children(recursive=True))]
    return float(sum(sum(member.cpu_times()[:2]) for member in family))


def wake_at_once(pid: int) -> None:
    """Let a server under ``chrt -r`` interrupt the workers, as it does under a normal scheduler.

    At equal real-time priority it would wait for a core until a worker rests.
    """
    priority = os.sched_getparam(pid).sched_priority
    if priority:
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(priority + 1))


@contextmanager
def redis_server(url: str | None) -> Iterator[str]:
    """Yield *url*, or that of a server started for the occasion."""
    if url is not None:
        yield url
        return
    from ops.embedded_redis import EmbeddedRedis  # noqa: PLC0415 - only where no server is given

    with tempfile.TemporaryDirectory(prefix="bench-redis-") as directory:
        server = EmbeddedRedis(Path(directory), password="bench", durable=False)  # noqa: S106 - throw-away
        server.start()
        wake_at_once(server.process.pid)
        try:
            yield server.url()
        finally:
            server.stop()
