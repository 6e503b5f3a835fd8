"""A real Postgres server from a wheel, on a free loopback port, for one directory."""

import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg

from ops.binaries import postgres_programs
from ops.error import OperatorError
from ops.port import LOOPBACK, free_port
from ops.process import ChildProcess, NotReadyError, ProcessEndedError, launch_command
from ops.unprivileged import unprivileged_user

SUPERUSER = "postgres"
START_WITHIN = timedelta(seconds=60)
STOP_WITHIN_SECONDS = 20
PORT_TRIES = 5

ALWAYS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # their paths are limited to 107 bytes, a checkout's is not
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "jit": "off",
}
UNSAFE = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "2GB"}
"""For data that nobody misses after a power cut: several times faster."""


class PostgresVersionError(OperatorError):
    """The data directory belongs to another major version; carries the directory and both versions."""

    def __init__(self, data: Path, has: str, needs: str) -> None:
        super().__init__(
            f"{data} was made by Postgres {has}, and Postgres {needs} cannot read it. Move it away."
        )
        self.data = data
        self.has = has
        self.needs = needs


class InitializeError(OperatorError):
    """``initdb`` failed; carries what it said."""

    def __init__(self, data: Path, said: str) -> None:
        super().__init__(
            f"initdb could not make {data}:\n{said}\n"
            "If root runs this where root may not override permissions (some containers), run it as an "
            "ordinary user, or from a directory that everybody may pass, or point GENIUS_DATABASE_URL at a "
            "Postgres server."
        )
        self.said = said


class EmbeddedPostgres:
    """A Postgres server of our own.

    Args:
        directory: Holds the data and the log; made when absent.
        password: Of the superuser. Must stay the same for the life of the directory.
        durable: False is faster and loses data at a power cut.
    """

    def __init__(self, directory: Path, *, password: str, durable: bool) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.port = 0
        self._password = password
        self._settings = ALWAYS if durable else {**ALWAYS, **UNSAFE}
        self._user = unprivileged_user()
        self._programs = postgres_programs()
        self._process: ChildProcess | None = None

    @property
    def superuser_conninfo(self) -> str:
        """The libpq URL of the superuser in the database ``postgres``."""
        return self.url(SUPERUSER, self._password, "postgres")

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    @property
    def process(self) -> ChildProcess:
        """The server's own process; only of a started server."""
        assert self._process is not None
        return self._process

    def url(self, user: str, password: str, database: str) -> str:
        """Return a ``postgresql://`` URL of this server."""
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start it, making its data directory the first time; keeps its port from an earlier start."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not (self.data / "PG_VERSION").exists():
            self._initialize()
        self._check_version()
        self._await_predecessor()
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
        """End every session and write everything to disk."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End the whole server at once, as a power cut would; `start` recovers it."""
        if self._process is not None:
            backends = self._processes()  # sessions of their own: they would outlive their parent
            self._process.kill()
            for backend in backends:
                with suppress(psutil.NoSuchProcess):
                    backend.kill()
            psutil.wait_procs(backends, timeout=STOP_WITHIN_SECONDS)

    def _initialize(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)  # of an initdb that was interrupted
        password_file = self.directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        try:
            self._run_initdb(password_file)
        finally:
            password_file.unlink()

    def _run_initdb(self, password_file: Path) -> None:
        command: list[str | Path] = [
            *(self._programs / "initdb", "--pgdata", self.data, "--username", SUPERUSER),
            *(
                "--pwfile",
                password_file,
                "--auth",
                "scram-sha-256",
                "--encoding",
                "UTF8",
                "--no-instructions",
            ),
            *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--no-sync"),
        ]
        done = subprocess.run(  # noqa: S603 - our own program and arguments
            launch_command(command, user=self._user), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise InitializeError(self.data, done.stderr + done.stdout)

    def _check_version(self) -> None:
        has = (self.data / "PG_VERSION").read_text().strip()
        said = subprocess.run(  # noqa: S603 - our own program and arguments
            [self._programs / "postgres", "--version"], capture_output=True, text=True, check=True
        )
        needs = said.stdout.split()[-1].split(".")[0]
        if has != needs:
            raise PostgresVersionError(self.data, has, needs)

    def _await_predecessor(self) -> None:
        """Let a server that was killed, or whose parent was, end: its memory would be in the way."""
        psutil.wait_procs(self._processes(), timeout=STOP_WITHIN_SECONDS)

    def _processes(self) -> list[psutil.Process]:
        """Find every process of a server on this data, ours or a predecessor's: all work in its directory."""
        return [process for process in psutil.process_iter() if _works_in(process, self.data)]

    def _start_once(self) -> None:
        self.port = self.port or free_port()
        options = {**self._settings, "port": str(self.port)}
        self._process = ChildProcess(
            "postgres",
            [self._programs / "postgres", "-D", self.data, *_as_arguments(options)],
            log=self.directory / "postgres.log",
            user=self._user,
            stop_signal=signal.SIGINT,  # fast: sessions are ended, not waited for
        )
        self._process.start()
        try:
            self._process.wait_ready(self._answers, START_WITHIN)
        except NotReadyError:
            self._process.kill()
            raise

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.superuser_conninfo, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _works_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return process.name() == "postgres" and Path(process.cwd()) == directory.resolve()
    except psutil.Error:  # it has ended, or belongs to somebody else
        return False


def _as_arguments(settings: Mapping[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
