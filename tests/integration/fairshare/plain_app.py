"""Run the plain app's workers as processes, and talk to them."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from celery import Celery

from config.settings import ROOT
from ops.embedded_redis import EmbeddedRedis
from tests.support.wait import wait_until
from worker.fairshare.queue import FairQueue


class PlainWorker:
    """One ``celery worker`` process."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, name: str) -> None:
        self.process = process
        self.log = log
        self.name = name

    def kill(self) -> None:
        """End the whole process group with no warning."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask_to_stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        self.ask_to_stop()
        self.process.wait(30)


class PlainApp:
    """The plain app, as its publisher, and its workers."""

    def __init__(self, server: EmbeddedRedis, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.broker = redis.Redis.from_url(server.url(0))
        self.workers: list[PlainWorker] = []
        self.environment = {
            **os.environ,
            "PLAIN_BROKER": server.url(0).replace("redis://", "fair://"),
            "PLAIN_RESULTS": server.url(1),
            "PLAIN_JOURNAL": str(directory),
            "PYTHONPATH": str(ROOT),
        }
        self.app = Celery("plain", broker=self.environment["PLAIN_BROKER"], backend=server.url(1))
        self.app.conf.broker_transport_options = {"guess_ms": 20}
        self.app.conf.result_backend_transport_options = {"global_keyprefix": ""}

    def worker(
        self, pool: str = "threads", concurrency: int = 2, *options: str, **environment: str
    ) -> PlainWorker:
        """Start a worker and wait until it consumes."""
        name = f"w{len(self.workers)}"
        log = self.directory / f"{name}.log"
        command = [
            *(sys.executable, "-m", "celery", "-A", "tests.integration.fairshare.plain_tasks", "worker"),
            *("-P", pool, "-c", str(concurrency), "-n", f"{name}@test", "--loglevel", "INFO", *options),
        ]
        with log.open("wb") as out:
            process = subprocess.Popen(  # noqa: S603 - our own worker
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environment | environment,
                cwd=ROOT,
                start_new_session=True,
            )
        worker = PlainWorker(process, log, name)
        self.workers.append(worker)
        wait_until(lambda: b" ready." in log.read_bytes(), 30, message=f"worker ready, see {log}")
        return worker

    def send(self, task: str, *args: Any, tenant: str | None = None, **options: Any) -> Any:
        """Publish a task of the plain app, for *tenant* or for nobody."""
        headers = options.pop("headers", {})
        if tenant is not None:
            headers = {**headers, "tenant": tenant}
        name = f"tests.integration.fairshare.plain_tasks.{task}"
        return self.app.send_task(name, args, headers=headers, **options)

    def work(self, name: str, seconds: float = 0.0, **options: Any) -> Any:
        """Publish a job that leaves its name in the journal; the tenant is the part before the slash."""
        return self.send("work", name, seconds, tenant=name.split("/", maxsplit=1)[0], **options)

    def began(self) -> list[str]:
        return [name for name, _ in self.lines("began")]

    def done(self) -> list[str]:
        return [name for name, _ in self.lines("done")]

    def seconds(self, tenant: str) -> float:
        """Return how long the tenant's jobs were asked to run that are done."""
        return sum(float(seconds) for name, seconds in self.lines("done") if name.startswith(f"{tenant}/"))

    def lines(self, event: str) -> list[tuple[str, str]]:
        path = self.directory / event
        lines = path.read_text().splitlines() if path.exists() else []
        return [(name, seconds) for name, seconds in (line.split() for line in lines)]

    def lane(self, name: str = "celery") -> FairQueue:
        return FairQueue(self.broker, name)

    def in_flight(self, lane: str = "celery") -> int:
        return int(self.broker.zcard(self.lane(lane).keys.of("leases")))

    def left(self, lane: str = "celery") -> int:
        return int(self.broker.hlen(self.lane(lane).keys.of("body")))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.app.close()
        self.broker.close()
