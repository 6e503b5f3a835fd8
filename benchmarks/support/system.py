"""A queue system under measurement: how its jobs are published and its worker started."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis
from celery import Celery

from worker.fairshare import register
from worker.fairshare.keys import LaneKeys

BENCHMARKS = Path(__file__).resolve().parent.parent
OURS, ONE_QUEUE, QUEUE_PER_TENANT = "fair share", "celery, one queue", "celery, a queue per tenant"
POLL_SECONDS = 0.005

register()


@dataclass
class System:
    """One system on one Redis database, in keys of its own that are deleted afterwards."""

    name: str
    redis_url: str
    queues: tuple[str, ...] = ("bench",)
    prefetch: int = 1
    prefix: str = field(default_factory=lambda: f"bench-{uuid.uuid4().hex[:8]}:")

    def __post_init__(self) -> None:
        self.client = redis.Redis.from_url(self.redis_url)
        self.journal = Path(tempfile.mkstemp(prefix="bench-", suffix=".journal")[1])
        self.app = Celery("bench-publisher", broker=self.broker)
        self.app.conf.broker_transport_options = self.options

    @property
    def broker(self) -> str:
        """Broker URL: ours differs from stock in its scheme alone."""
        return self.redis_url.replace("redis://", "fair://", 1) if self.name == OURS else self.redis_url

    @property
    def options(self) -> dict[str, object]:
        """Transport options."""
        return {"global_keyprefix": self.prefix}

    def publish(self, rows: Sequence[tuple[str, str, tuple[object, ...]]]) -> None:
        """Publish (tenant, task, arguments), in batches on either transport."""
        with self.app.producer_pool.acquire() as producer, producer.batch(500):
            for tenant, task, arguments in rows:
                self.app.send_task(
                    task,
                    arguments,
                    queue=self.queue_of(tenant),
                    producer=producer,
                    headers={"tenant": tenant},
                    argsrepr="",
                    kwargsrepr="",
                    retry=False,
                )

    def queue_of(self, tenant: str) -> str:
        """Return the queue a tenant's jobs go to."""
        return tenant if self.name == QUEUE_PER_TENANT else self.queues[0]

    def left(self) -> int:
        """Count jobs that are not acknowledged."""
        if self.name == OURS:
            return sum(self.client.hlen(LaneKeys(q, self.prefix).of("body")) for q in self.queues)
        waiting = sum(self.client.llen(f"{self.prefix}{queue}") for queue in self.queues)
        return waiting + self.client.hlen(f"{self.prefix}unacked")

    def waits(self) -> dict[str, list[float]]:
        """Read, by tenant, how long its jobs waited (s)."""
        waits: dict[str, list[float]] = {}
        for line in self.journal.read_text().splitlines():
            tenant, wait, _ = line.split()
            waits.setdefault(tenant, []).append(float(wait))
        return waits

    @contextmanager
    def worker(self, pool: str, concurrency: int) -> Iterator[psutil.Process]:
        """Run one worker, from when it consumes."""
        command = [
            *(sys.executable, "-m", "celery", "-A", "support.bench_app", "worker", "-P", pool),
            *("-c", str(concurrency), "-Q", ",".join(self.queues), "-n", f"{uuid.uuid4().hex[:8]}@bench"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
        ]
        environment = {
            **os.environ,
            "BENCH_BROKER": self.broker,
            "BENCH_OPTIONS": json.dumps(self.options),
            "BENCH_JOURNAL": str(self.journal),
            "BENCH_PREFETCH": str(self.prefetch),
            "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent)]),
        }
        process = subprocess.Popen(  # noqa: S603 - our own worker
            command,
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
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def wait_until_left(self, count: int, *, seconds: float = 300) -> float:
        """Wait until at most *count* jobs are left, and return the moment."""
        deadline = time.monotonic() + seconds
        while self.left() > count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {self.left()} jobs are left after {seconds} s")
            time.sleep(POLL_SECONDS)
        return time.monotonic()

    def close(self) -> None:
        """Delete everything the system left."""
        for key in self.client.scan_iter(f"{self.prefix}*", count=1000):
            self.client.unlink(key)
        self.app.close()
        self.client.close()
        self.journal.unlink(missing_ok=True)


def cpu_seconds(process: psutil.Process) -> float:
    """Return the processor time of a worker and its children."""
    family = [process, *process.children(recursive=True)]
    return float(sum(sum(member.cpu_times()[:2]) for member in family))


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
        try:
            yield server.url()
        finally:
            server.stop()
