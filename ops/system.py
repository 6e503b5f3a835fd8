"""The processes of the whole system on one machine, as `genius up` and the demo run them."""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg

from config.celery import LANES
from config.settings import ROOT
from ops.port import LOOPBACK, free_port
from ops.process import ChildProcess
from ops.supervisor import Service

OWNER_ONLY = frozenset({"GENIUS_OWNER_DATABASE_URL"})
"""What no long-running process needs: only migrations own the tables."""

ALONE = ("--without-gossip", "--without-mingle")
"""Workers need not know each other: what they share is in Redis and Postgres."""

EVENTS = ("-E",)
"""Tell Flower of every task; costs a quarter of the throughput and more."""

WORKER_READY = b" ready."


@dataclass(frozen=True, slots=True)
class System:
    """Where each process listens, logs and what it is told.

    Args:
        environment: Every GENIUS_ variable, as `Stack.environment` gives them.
        logs: Folder of one log per process.
    """

    environment: Mapping[str, str]
    logs: Path
    intake_port: int = field(default_factory=free_port)
    flower_port: int = field(default_factory=free_port)
    stand_in_port: int = field(default_factory=free_port)

    @property
    def intake_url(self) -> str:
        return f"http://{LOOPBACK}:{self.intake_port}"

    @property
    def flower_url(self) -> str:
        return f"http://{LOOPBACK}:{self.flower_port}"

    @property
    def flower_sign_in_url(self) -> str:
        """Flower's address with an operator's name and password, which browsers and clients take from it."""
        users = json.loads(self.environment.get("GENIUS_FLOWER_USERS", "{}"))
        held = [
            f"{quote(name, safe='')}:{quote(user['password'], safe='')}@"
            for name, user in users.items()
            if user.get("password")
        ]
        return f"http://{held[0] if held else ''}{LOOPBACK}:{self.flower_port}"

    @property
    def stand_in_url(self) -> str:
        """Where posts go: the stand-in's, unless the environment names another."""
        return self.environment.get("GENIUS_STAND_IN_URL", f"http://{LOOPBACK}:{self.stand_in_port}")

    def stand_in(self) -> Service:
        """Return the stand-in for the social platforms."""
        child = self._child("stand-in", ["-m", "ops.stand_in", "--port", str(self.stand_in_port)])
        return Service(child, lambda: _listens(self.stand_in_port))

    def intake(self) -> Service:
        """Return the HTTP intake."""
        serve = [
            "-m",
            "uvicorn",
            "intake.app:app",
            "--no-access-log",
            "--no-server-header",
        ]  # it logs requests itself
        command = [*serve, "--host", LOOPBACK, "--port", str(self.intake_port)]
        return Service(self._child("intake", command), lambda: _answers(f"{self.intake_url}/healthz"))

    def worker(self, name: str = "worker", *, concurrency: int = 2, options: Sequence[str] = ()) -> Service:
        """Return a Celery worker of every lane."""
        command = [
            *("-m", "celery", "-A", "worker.app", "worker", "-n", f"{name}@%h"),
            *("-Q", ",".join(LANES), "-c", str(concurrency), *ALONE, *options),
        ]
        # An orphan has no queue left to be polite to: it ends at once, with the job it runs.
        child = self._child(name, command, orphan_signal=signal.SIGQUIT)
        return Service(child, lambda: WORKER_READY in child.fresh_log())

    def beat(self) -> Service:
        """Return Celery beat, which runs the relay; it serves once it has done a pass."""
        child = self._child("beat", ["-m", "celery", "-A", "worker.app", "beat", "--pidfile="])
        return Service(child, lambda: self._has_passed(child.pid))

    def _has_passed(self, beat: int) -> bool:
        url = self.environment["GENIUS_DATABASE_URL"]
        try:
            with psycopg.connect(url, prepare_threshold=None) as connection:
                [beats] = connection.execute("SELECT beats FROM app.relay_report()").fetchone() or [{}]
        except psycopg.OperationalError:
            return False
        return any(name.endswith(f":{beat}") for name in beats)

    def flower(self) -> Service:
        """Return Flower."""
        command = ["-m", "celery", "-A", "worker.app", "flower", f"--address={LOOPBACK}"]
        child = self._child("flower", [*command, f"--port={self.flower_port}"])
        return Service(child, lambda: _answers(f"{self.flower_url}/healthcheck"))

    def everything(self, *, concurrency: int = 2) -> list[Service]:
        """Return all of them, in the order in which they start."""
        own_stand_in = [] if "GENIUS_STAND_IN_URL" in self.environment else [self.stand_in()]
        return [
            *own_stand_in,
            self.intake(),
            self.worker(concurrency=concurrency),
            self.beat(),
            self.flower(),
        ]

    def _child(
        self, name: str, arguments: Sequence[str], *, orphan_signal: signal.Signals = signal.SIGTERM
    ) -> ChildProcess:
        told = {**self.environment, "GENIUS_STAND_IN_URL": self.stand_in_url}
        kept = {name: value for name, value in (os.environ | told).items() if name not in OWNER_ONLY}
        command = [sys.executable, *arguments]
        return ChildProcess(
            name,
            command,
            log=self.logs / f"{name}.log",
            environment=kept,
            orphan_signal=orphan_signal,
            directory=ROOT,
        )


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _listens(port: int) -> bool:
    try:
        httpx.get(f"http://{LOOPBACK}:{port}/", timeout=2)
    except httpx.TransportError:
        return False
    return True
