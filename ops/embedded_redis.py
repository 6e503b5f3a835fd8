"""A real Redis server, on a free loopback port, for one directory."""

import signal
from datetime import timedelta
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.binaries import redis_server
from ops.port import LOOPBACK, free_port
from ops.process import ChildProcess, NotReadyError, ProcessEndedError

START_WITHIN = timedelta(seconds=20)
PORT_TRIES = 5
DATABASES = 64

DURABLE = {"appendonly": "yes", "appendfsync": "everysec"}
IN_MEMORY = {"appendonly": "no", "save": ""}


class EmbeddedRedis:
    """A Redis server of our own.

    Args:
        directory: Holds the data, the configuration and the log; made when absent.
        password: Asked of every client.
        durable: True keeps an append-only file, at most a second behind.
    """

    def __init__(self, directory: Path, *, password: str, durable: bool) -> None:
        self.directory = directory
        self.port = 0
        self._password = password
        self._durability = DURABLE if durable else IN_MEMORY
        self._process: ChildProcess | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    @property
    def process(self) -> ChildProcess:
        """The server's own process; only of a started server."""
        assert self._process is not None
        return self._process

    def url(self, database: int = 0) -> str:
        """Return the ``redis://`` URL of one numbered database."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start it; keeps its port from an earlier start."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for tries_left in reversed(range(PORT_TRIES)):
            try:
                self._start_once()
            except ProcessEndedError as error:
                if "Address already in use" not in error.log or tries_left == 0:
                    raise
                self.port = 0
            else:
                return

    def stop(self) -> None:
        """End it, writing its data to disk first when it is durable."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()

    def _start_once(self) -> None:
        self.port = self.port or free_port()
        self._process = ChildProcess(
            "redis",
            [redis_server(), self._write_configuration()],
            log=self.directory / "redis.log",
            stop_signal=signal.SIGTERM,
            directory=self.directory,
        )
        self._process.start()
        try:
            self._process.wait_ready(self._answers, START_WITHIN)
        except NotReadyError:
            self._process.kill()
            raise

    def _write_configuration(self) -> Path:
        """Write a file only we may read: arguments would show the password in the process list."""
        settings = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "requirepass": self._password,
            "databases": str(DATABASES),
            **self._durability,
        }
        path = self.directory / "redis.conf"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text("".join(f'{name} "{value}"\n' for name, value in settings.items()))
        return path

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url(), retry=Retry(NoBackoff(), 0)) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
                return False
