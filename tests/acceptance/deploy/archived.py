"""A Postgres whose write-ahead log is archived, and another one that is recovered from it to a moment."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ops.backup.program import VARIABLES, find_program
from ops.embedded_postgres import EmbeddedPostgres
from ops.process import launch_command
from ops.stack import Stack
from ops.unprivileged import unprivileged_user
from tests.support.wait import wait_until

SEGMENT = "SELECT pg_walfile_name(pg_switch_wal())"


@dataclass(frozen=True)
class Archive:
    """Where segments of the log and the base backup go."""

    directory: Path

    @property
    def segments(self) -> Path:
        return self.directory / "segments"

    @property
    def base(self) -> Path:
        return self.directory / "base"

    @classmethod
    def make(cls, directory: Path) -> "Archive":
        """Make the folders for whoever the server runs as."""
        archive = cls(directory)
        archive.segments.mkdir(parents=True)
        for folder in (directory, archive.segments):
            give_to_server(folder)
        return archive


def give_to_server(path: Path) -> None:
    """Hand a file to the user as whom the server runs, where that is another one."""
    user = unprivileged_user()
    if user is not None:
        shutil.chown(path, *map(int, user.split(":")))


def start_archiving(server: EmbeddedPostgres, archive: Archive) -> None:
    """Let *server* archive from now on; it is restarted once, as a real one would be."""
    # Under its name only when it is whole: who waits for it kills the server as soon as it is there.
    draft, segment = f"{archive.directory}/%f", f"{archive.segments}/%f"
    command = f"test ! -f {segment} && cp %p {draft} && mv {draft} {segment}"
    with psycopg.connect(server.superuser_conninfo, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET archive_mode = on")
        connection.execute(sql.SQL("ALTER SYSTEM SET archive_command = {}").format(sql.Literal(command)))
    server.stop()
    server.start()


def back_up(server: EmbeddedPostgres, archive: Archive) -> None:
    """Copy the whole server while it works."""
    _run_as_server(
        server,
        "pg_basebackup",
        "--pgdata",
        archive.base,
        "--checkpoint=fast",
        "--wal-method=none",
        "--no-sync",
    )


def archive_all(server: EmbeddedPostgres, archive: Archive) -> None:
    """Wait until everything that was written is archived; a minute at most where archive_timeout says so."""
    with psycopg.connect(server.superuser_conninfo, autocommit=True) as connection:
        row = connection.execute(SEGMENT).fetchone()
    assert row is not None
    wait_until((archive.segments / row[0]).exists, 60)


@contextmanager
def recovered(
    stack: Stack, archive: Archive, directory: Path, moment: datetime
) -> Iterator[EmbeddedPostgres]:
    """Start another server on the base backup, which it uses up, and replay the log up to *moment*."""
    data = directory / "data"
    directory.mkdir()
    archive.base.rename(data)
    settings = {
        "restore_command": f"cp {archive.segments}/%f %p",
        "recovery_target_time": moment.isoformat(),
        "recovery_target_action": "promote",
        "archive_mode": "off",
    }
    with (data / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    (data / "recovery.signal").touch()
    give_to_server(data / "recovery.signal")
    server = EmbeddedPostgres(directory, password=stack.secrets.superuser_password, durable=False)
    server.start()
    try:
        wait_until(lambda: not in_recovery(server), 60)
        yield server
    finally:
        server.stop()


def in_recovery(server: EmbeddedPostgres) -> bool:
    """Tell whether it still replays the log, and takes no changes."""
    with psycopg.connect(server.superuser_conninfo) as connection:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    assert row is not None
    return bool(row[0])


def moved(url: str, server: EmbeddedPostgres) -> str:
    """Return the URL of the same role and database on *server*."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{server.port}"))


def _run_as_server(server: EmbeddedPostgres, name: str, *arguments: str | Path) -> None:
    with psycopg.connect(server.superuser_conninfo) as connection:
        program = find_program(name, server=connection.info.server_version // 10_000)
    given = conninfo_to_dict(server.superuser_conninfo)
    environment = {VARIABLES[key]: str(value) for key, value in given.items() if key in VARIABLES}
    command: Sequence[str | Path] = [program, *arguments]
    done = subprocess.run(  # noqa: S603 - a program of Postgres, found by name
        launch_command(command, user=unprivileged_user()),
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
