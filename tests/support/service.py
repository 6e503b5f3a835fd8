"""The real processes of the system, for tests that kill them."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import httpx

from config.celery import LANES
from config.settings import ROOT
from ops.port import free_port
from ops.process import ChildProcess
from ops.system import WORKER_READY

READY_WITHIN = timedelta(seconds=60)


class Services:
    """Starts worker, beat and intake processes; all of them end with the test.

    Args:
        checkout: Whose code they run.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], exits: ExitStack, checkout: Path = ROOT
    ) -> None:
        self._checkout = checkout
        self._directory = directory
        self.environment = {**os.environ, **environment}
        self._exits = exits
        self.started: list[ChildProcess] = []

    def worker(
        self,
        *,
        queues: Sequence[str] = LANES,
        pool: str = "prefork",
        concurrency: int = 2,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        wait: bool = True,
    ) -> ChildProcess:
        """Start ``celery -A worker.app worker`` and wait until it says it is ready."""
        name = f"worker{len(self.started) + 1}"
        command = [
            *(sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-n", f"{name}@%h", "-l", "INFO"),
            *("-Q", ",".join(queues), "-P", pool, "-c", str(concurrency), *options),
        ]
        child = self._start(name, command, environment or {})
        if wait:
            child.wait_ready(lambda: WORKER_READY in child.fresh_log(), READY_WITHIN)
        return child

    def beat(self, environment: Mapping[str, str] | None = None) -> ChildProcess:
        """Start ``celery -A worker.app beat``; it runs the relay."""
        schedule = self._directory / f"schedule{len(self.started) + 1}"
        command = [sys.executable, "-m", "celery", "-A", "worker.app", "beat", "--schedule", str(schedule)]
        return self._start(f"beat{len(self.started) + 1}", [*command, "--pidfile="], environment or {})

    def intake(self, environment: Mapping[str, str] | None = None) -> "Intake":
        """Start ``uvicorn intake.app:app`` on a free port and wait until it answers."""
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "intake.app:app", "--port", str(port)]
        child = self._start(f"intake{len(self.started) + 1}", command, environment or {})
        intake = Intake(f"http://127.0.0.1:{port}", child)
        child.wait_ready(intake.answers, READY_WITHIN)
        return intake

    def module(self, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> ChildProcess:
        """Start ``python -m MODULE ARGUMENTS``."""
        name = f"{module.rpartition('.')[2]}{len(self.started) + 1}"
        return self._start(name, [sys.executable, "-m", module, *arguments], environment)

    def _start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> ChildProcess:
        child = ChildProcess(
            name,
            command,
            log=self._directory / f"{name}.log",
            environment={**self.environment, **environment},
            directory=self._checkout,
        )
        child.start()
        self._exits.callback(child.kill)
        self.started.append(child)
        return child


class Intake:
    """A running intake."""

    def __init__(self, url: str, process: ChildProcess) -> None:
        self.url = url
        self.process = process

    def answers(self) -> bool:
        """Tell whether it is live."""
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
