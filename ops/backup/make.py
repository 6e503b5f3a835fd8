"""Make a backup: one dump, and how many rows it holds."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from config.settings import Settings
from ops.backup.inspection import Connection, count_rows
from ops.backup.manifest import DUMP, Manifest, fingerprint
from ops.backup.program import find_program, run_program
from ops.error import OperatorError


class DirectoryInUseError(OperatorError):
    """A backup goes into a folder of its own; carries it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} is not empty: a backup goes into a folder of its own.")
        self.directory = directory


class ConfinedRoleError(OperatorError):
    """The role is bound by policies: its backup would be empty."""

    def __init__(self, role: str) -> None:
        super().__init__(
            f"{role} is bound by row-level security and would back up nothing. "
            "GENIUS_SUPERUSER_DATABASE_URL must name a superuser, or a role with BYPASSRLS that may read all."
        )
        self.role = role


def make_backup(url: str, directory: Path, settings: Settings, *, jobs: int = 2) -> Manifest:
    """Dump the database of *url* into *directory*, while everything goes on.

    Rows are counted in the snapshot that is dumped, so that a restore can be compared row for row.
    """
    with private_directory(directory), psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        refuse_confined(connection)
        server = connection.info.server_version // 10_000
        program = find_program("pg_dump", server=server)
        run_program(program, url, _arguments(directory / DUMP, _snapshot(connection), jobs))
        manifest = Manifest(
            made_at=datetime.now(UTC),
            postgres=server,
            revision=_text(connection, "SELECT version_num FROM alembic_version"),
            credential_fingerprint=fingerprint(settings.credential_secret.get_secret_value()),
            rows=count_rows(connection),
        )
        manifest.write(directory)
    return manifest


def refuse_confined(connection: Connection) -> None:
    """Raise ConfinedRoleError unless the role sees every tenant's rows."""
    question = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    row = connection.execute(question).fetchone()
    if row is None or not row[0]:
        raise ConfinedRoleError(connection.info.user)


@contextmanager
def private_directory(directory: Path) -> Iterator[None]:
    """Make *directory* for its owner alone, and every file that the block writes."""
    if directory.exists() and any(directory.iterdir()):
        raise DirectoryInUseError(directory)
    before = os.umask(0o077)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        os.umask(before)


def _arguments(target: Path, snapshot: str, jobs: int) -> list[str | Path]:
    return ["--format=directory", f"--jobs={jobs}", f"--snapshot={snapshot}", "--file", target]


def _snapshot(connection: Connection) -> str:
    return _text(connection, "SELECT pg_export_snapshot()")


def _text(connection: Connection, question: str) -> str:
    row = connection.execute(question).fetchone()
    assert row is not None
    return str(row[0])
