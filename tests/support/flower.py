"""A real Flower, started by the stock command."""

import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import httpx

from config.settings import ROOT
from ops.port import LOOPBACK, free_port
from ops.process import ChildProcess

OPERATOR = ("ada", "correct horse")
READER = ("ben", "battery staple")
USERS = '{"ada": {"password": "correct horse", "role": "operator"}, "ben": {"password": "battery staple"}}'
READY_WITHIN = timedelta(seconds=60)


class Flower:
    """``celery -A worker.app flower`` on a free port."""

    def __init__(self, directory: Path, environment: Mapping[str, str], *options: str) -> None:
        self.directory, self.environment = directory, environment
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        command = [
            *(sys.executable, "-m", "celery", "-A", "worker.app", "flower"),
            *(f"--address={LOOPBACK}", f"--port={self.port}", *options),
        ]
        own = {
            "GENIUS_FLOWER_DIRECTORY": str(directory / "flower"),
            "FLOWER_OAUTH2_REDIRECT_URI": f"{self.url}/login",
        }
        self.process = ChildProcess(
            "flower",
            command,
            log=directory / "flower.log",
            environment={**environment, **own},
            directory=ROOT,
        )

    def start(self) -> None:
        """Start it and wait until it is there."""
        self.process.start()
        self.process.wait_ready(self._answers, READY_WITHIN)

    def client(self, credentials: tuple[str, str] | None = None) -> httpx.Client:
        """Return a client of somebody; it follows no redirect."""
        return httpx.Client(base_url=self.url, auth=credentials, timeout=60)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthcheck", timeout=2).is_success
        except httpx.TransportError:
            return False
