"""The real processes of the system, for tests that kill them."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from config.celery import LANES
from config.settings import ROOT
from ops.process import ChildProcess
from ops.system import WORKER_READY

OWN_SCHEDULES = {"GENIUS_PLATFORM_SCHEDULES": "false"}
"""The platform's begin at 2 at night and so on: no test counts more jobs when it runs just then."""

READY_WITHIN = timedelta(seconds=120)
LISTENING = re.compile(rb"Uvicorn running on (http://[\d.]+:\d+)")


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
        """Start ``celery -A worker.app beat``; it runs the relay, and what a test schedules itself."""
        schedule = self._directory / f"schedule{len(self.started) + 1}"
        command = [sys.executable, "-m", "celery", "-A", "worker.app", "beat", "--schedule", str(schedule)]
        name = f"beat{len(self.started) + 1}"
        return self._start(name, [*command, "--pidfile="], {**OWN_SCHEDULES, **(environment or {})})

    def intake(self, environment: Mapping[str, str] | None = None) -> "Intake":
        """Start ``uvicorn intake.app:app`` on a port of its own choice and wait until it says which."""
        command = [sys.executable, "-m", "uvicorn", "intake.app:app", "--port", "0"]
        child = self._start(f"intake{len(self.started) + 1}", command, environment or {})
        child.wait_ready(lambda: LISTENING.search(child.fresh_log()) is not None, READY_WITHIN)
        listening = LISTENING.search(child.fresh_log())
        assert listening is not None
        return Intake(listening[1].decode(), child)

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


@dataclass(frozen=True)
class Intake:
    """A running intake."""

    url: str
    process: ChildProcess
