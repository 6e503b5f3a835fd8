"""Run the SQL files of a revision."""

from pathlib import Path
from typing import Any

import psycopg
from alembic import op

SQL = Path(__file__).parent / "sql"


def run_file(name: str) -> None:
    """Run every statement of ``migrations/sql/<name>`` in the revision's transaction."""
    connection: psycopg.Connection[Any] | None = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute((SQL / name).read_bytes())


def run_file_again(name: str) -> None:
    """Run a file whose functions exist in another version: they become what the file says."""
    connection: psycopg.Connection[Any] | None = op.get_bind().connection.driver_connection
    assert connection is not None
    statements = (SQL / name).read_bytes()
    connection.execute(statements.replace(b"CREATE FUNCTION", b"CREATE OR REPLACE FUNCTION"))
