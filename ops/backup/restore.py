"""Bring a backup back into an empty server, and prove that all of it is there."""

from dataclasses import dataclass
from pathlib import Path

import psycopg

from config.settings import Settings
from models.session import open_database
from ops.backup.inspection import (
    Connection,
    broken_audits,
    count_rows,
    differences,
    organizations,
    unconfined_tables,
)
from ops.backup.manifest import DUMP, Manifest
from ops.backup.program import find_program, run_program
from ops.error import OperatorError
from ops.schema import upgrade

FORGET_THE_QUEUE = """
UPDATE app.relay_state
SET queue_generation = NULL, rebuilding = NULL, rebuilt_organization = NULL, rebuilt_job = NULL
"""
"""Whatever Redis there is now, it has not been offered these jobs."""


class NotEmptyError(OperatorError):
    """The database has tables already."""

    def __init__(self, database: str) -> None:
        super().__init__(
            f"The database {database} is not empty. Restore into a new one; drop nothing you may need."
        )
        self.database = database


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of a restored database."""

    check: str
    trouble: list[str]

    @property
    def holds(self) -> bool:
        return not self.trouble


def restore_backup(url: str, directory: Path, settings: Settings, *, jobs: int = 2) -> list[Finding]:
    """Load the backup of *directory* into the empty database of *url*, migrate it and look at it.

    Beats must not run meanwhile. Afterwards the relay offers every waiting job to the queue again.
    """
    manifest = Manifest.read(directory)
    with psycopg.connect(url, autocommit=True) as connection:
        _refuse_tables(connection)
        program = find_program("pg_restore", server=manifest.postgres)
        run_program(program, url, _arguments(connection.info.dbname, directory / DUMP, jobs))
        rows = Finding("rows of every table", differences(manifest.rows, count_rows(connection)))
        connection.execute(FORGET_THE_QUEUE)
        connection.execute("ANALYZE")
    upgrade(settings)
    return [rows, *examine(url, settings)]


def examine(url: str, settings: Settings) -> list[Finding]:
    """Look at a database as it stands: nobody's rows are open to others, no audit log was altered."""
    with psycopg.connect(url) as connection:
        unconfined, tenants = unconfined_tables(connection), organizations(connection)
    database = open_database(settings, pool_size=1)
    try:
        broken = broken_audits(database, tenants)
    finally:
        database.engine.dispose()
    return [
        Finding("row-level security of every table", unconfined),
        Finding(f"audit logs of {len(tenants)} organizations", broken),
    ]


def _arguments(database: str, dump: Path, jobs: int) -> list[str | Path]:
    return ["--exit-on-error", f"--jobs={jobs}", "--dbname", database, dump]


def _refuse_tables(connection: Connection) -> None:
    found = connection.execute(
        "SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LIMIT 1"
    ).fetchone()
    if found:
        raise NotEmptyError(connection.info.dbname)
