"""Run the plain app's workers as processes, and talk to them."""

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import redis
from celery import Celery

from config.settings import ROOT
from ops.embedded_redis import EmbeddedRedis
from tests.support.wait import wait_until
from worker.fairshare.queue import FairQueue

PLAIN_TASKS = "tests.integration.fairshare.plain_tasks"


def fair(redis_url: str) -> str:
    """Return the URL that selects the transport."""
    return redis_url.replace("redis://", "fair://")


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

    def freeze(self) -> None:
        """Stop the whole process group where it is, as a machine does that swaps or is moved."""
        family = [psutil.Process(self.process.pid)]
        family += family[0].children(recursive=True)
        os.killpg(self.process.pid, signal.SIGSTOP)
        wait_until(lambda: all(each.status() == psutil.STATUS_STOPPED for each in family))

    def thaw(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def ask_to_stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop_cold(self) -> None:
        """Let it end at once, with what runs broken off."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)

    def stop(self) -> None:
        self.ask_to_stop()
        self.process.wait(60)


class PlainApp:
    """The plain app, as its publisher, and its workers.

    Args:
        module: The app that the workers run.
        url: Where the broker is found; None is the server's own address.
        options: Transport options beside the app's own.
        tls: ``broker_use_ssl``.
    """

    def __init__(
        self,
        server: EmbeddedRedis,
        directory: Path,
        *,
        module: str = PLAIN_TASKS,
        url: str | None = None,
        options: Mapping[str, Any] | None = None,
        tls: Mapping[str, Any] | None = None,
    ) -> None:
        self.server = server
        self.module = module
        self.directory = directory
        self.url = url or fair(server.url(0))
        self.options = dict(options or {})
        self.broker = redis.Redis.from_url(server.url(0))
        self.workers: list[PlainWorker] = []
        self.environment = {
            **os.environ,
            "PLAIN_BROKER": self.url,
            "PLAIN_OPTIONS": json.dumps(self.options),
            "PLAIN_SSL": json.dumps(tls),
            "PLAIN_RESULTS": server.url(1),
            "PLAIN_JOURNAL": str(directory),
            "PYTHONPATH": str(ROOT),
        }
        self.app = Celery("plain", broker=self.url, backend=server.url(1))
        self.app.conf.broker_use_ssl = tls
        self.app.conf.broker_transport_options = {"guess_ms": 20, **self.options}

    def worker(
        self, pool: str = "threads", concurrency: int = 2, *options: str, **environment: str
    ) -> PlainWorker:
        """Start a worker and wait until it consumes."""
        worker = self.start_worker(pool, concurrency, *options, **environment)
        wait_until(
            lambda: b" ready." in worker.log.read_bytes(), 60, message=f"worker ready, see {worker.log}"
        )
        return worker

    def start_worker(
        self, pool: str = "threads", concurrency: int = 2, *options: str, **environment: str
    ) -> PlainWorker:
        """Start a worker and do not wait for it."""
        name = f"w{len(self.workers)}"
        log = self.directory / f"{name}.log"
        command = [
            *(sys.executable, "-m", "celery", "-A", self.module, "worker"),
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
        return worker

    def send(self, task: str, *args: Any, tenant: str | None = None, **options: Any) -> Any:
        """Publish a task of the plain app, for *tenant* or for nobody."""
        headers = options.pop("headers", {})
        if tenant is not None:
            headers = {**headers, "tenant": tenant}
        return self.app.send_task(f"{self.module}.{task}", args, headers=headers, **options)

    def take_effect(self, name: str, seconds: float = 0.0, **options: Any) -> Any:
        """Publish a job whose second run finds the effect of the first."""
        return self.send("take_effect", name, seconds, tenant=name.split("/", maxsplit=1)[0], **options)

    def work(self, name: str, seconds: float = 0.0, **options: Any) -> Any:
        """Publish a job that leaves its name in the journal; the tenant is the part before the slash."""
        return self.send("work", name, seconds, tenant=name.split("/", maxsplit=1)[0], **options)

    def began(self) -> list[str]:
        return [name for name, _ in self.lines("began")]

    def found_done(self) -> list[str]:
        """Name the jobs that ran again and found their effect done."""
        return [name for name, _ in self.lines("found done")]

    def done(self) -> list[str]:
        return [name for name, _ in self.lines("done")]

    def effects(self) -> list[str]:
        """Name the jobs whose effect is there; who was killed just after it has told nobody."""
        return [
            path.name.removeprefix("effect-").replace("-", "/") for path in self.directory.glob("effect-*")
        ]

    def seconds(self, tenant: str) -> float:
        """Return how long the tenant's jobs ran that are done."""
        return sum(float(seconds) for name, seconds in self.lines("done") if name.startswith(f"{tenant}/"))

    def lines(self, event: str) -> list[tuple[str, str]]:
        path = self.directory / event.replace(" ", "-")
        lines = path.read_text().splitlines() if path.exists() else []
        return [(name, seconds) for name, seconds in (line.split() for line in lines)]

    def lane(self, name: str = "celery") -> FairQueue:
        return FairQueue(self.broker, name, self.options.get("global_keyprefix", ""))

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
        gc.collect()  # a result unsubscribes when it goes, while its server is still there
        backend: Any = self.app.backend
        backend.result_consumer.stop()
        backend.client.connection_pool.disconnect()
        self.app.close()
        self.broker.close()
