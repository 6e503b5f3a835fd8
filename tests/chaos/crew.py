"""The processes of a chaos run: started again whenever one ends, reached through networks that can fail."""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psutil

from config.celery import LANES
from config.settings import ROOT
from ops.port import LOOPBACK, free_port
from ops.process import ChildProcess
from ops.system import ALONE, WORKER_READY
from tests.support.kinds import INCLUDE

READY_WITHIN = timedelta(seconds=60)
POOLS = {"prefork": 2, "threads": 4}
"""One worker of each pool, with this many slots."""
BEATS = 2

NOTHING_ELSE = {"GENIUS_PLATFORM_SCHEDULES": "false", "GENIUS_METRICS_AFTER": "0"}
"""What the audit expects is what was ordered: no work that the platform does by itself comes on top."""


def through(environment: Mapping[str, str], *, postgres_port: int, redis_port: int) -> dict[str, str]:
    """Return *environment* with its servers at other ports."""
    ports = {"postgresql": postgres_port, "redis": redis_port}
    return {
        name: moved(value, ports[scheme]) if (scheme := urlsplit(value).scheme) in ports else value
        for name, value in environment.items()
    }


def moved(url: str, port: int) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}"))


class Crew:
    """Two workers, two beats and an intake."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = {**os.environ, **environment, **NOTHING_ELSE}
        self._intake_port = free_port()
        self.workers = [self._worker(pool, slots) for pool, slots in POOLS.items()]
        self.beats = [self._beat(number) for number in range(BEATS)]
        self.intakes = [self._intake()]
        self.ended_by_themselves: list[str] = []
        self._killed: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._intake_port}"

    @property
    def everyone(self) -> list[ChildProcess]:
        return [*self.workers, *self.beats, *self.intakes]

    def start(self) -> None:
        """Start all and wait until they serve."""
        for child in self.everyone:
            child.start()
        for worker in self.workers:
            worker.wait_ready(partial(_is_ready, worker), READY_WITHIN)
        self.intakes[0].wait_ready(self._answers, READY_WITHIN)

    def tend(self) -> None:
        """Start again what has ended; what ended although nobody killed it is noted."""
        for child in self.everyone:
            if not child.alive:
                if child.name not in self._killed:
                    self.ended_by_themselves.append(f"{child.name}: exit code {child.exit_code}")
                self._killed.discard(child.name)
                child.kill()  # what it left: an orphan of a pool goes on
                child.start()

    def stop(self) -> None:
        """End all in good order."""
        for child in self.everyone:
            child.ask_to_stop()
        for child in self.everyone:
            child.stop()

    def kill(self) -> None:
        for child in self.everyone:
            child.kill()

    def kill_all_of(self, child: ChildProcess) -> None:
        """Kill a process and all it started."""
        self._killed.add(child.name)
        child.kill()

    def kill_parent_of(self, child: ChildProcess) -> None:
        """Kill a process and leave its children to find out."""
        self._killed.add(child.name)
        psutil.Process(child.pid).kill()

    def expect_end_of(self, child: ChildProcess) -> None:
        """Note that it was asked to end."""
        self._killed.add(child.name)

    def log_tails(self) -> str:
        return "\n".join(f"== {child.name}\n{child.log_tail()}" for child in self.everyone)

    def _worker(self, pool: str, slots: int) -> ChildProcess:
        command = ["celery", "-A", "worker.app", "worker", "-n", f"{pool}@%h", "-l", "INFO"]
        return self._child(
            pool, [*command, "-Q", ",".join(LANES), "-P", pool, "-c", str(slots), *ALONE, *INCLUDE]
        )

    def _beat(self, number: int) -> ChildProcess:
        return self._child(f"beat{number}", ["celery", "-A", "worker.app", "beat", "--pidfile="])

    def _intake(self) -> ChildProcess:
        command = ["uvicorn", "tests.chaos.intake:app", "--host", LOOPBACK, "--port", str(self._intake_port)]
        return self._child("intake", [*command, "--no-access-log"])

    def _child(self, name: str, arguments: Sequence[str]) -> ChildProcess:
        return ChildProcess(
            name,
            [sys.executable, "-m", *arguments],
            log=self._directory / f"{name}.log",
            environment=self._environment,
            directory=ROOT,
        )

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def _is_ready(worker: ChildProcess) -> bool:
    return WORKER_READY in worker.fresh_log()
