"""Changes of tables that others use meanwhile."""

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import OperationalError

HELD_WITHIN = timedelta(milliseconds=500)
"""Less than Postgres' deadlock_timeout (1 s): nobody who waits for us is taken for part of a deadlock."""

TRIES = 60
"""Of a revision to hold all tables; the last one fails it."""

TABLES = sa.text("""
SELECT string_agg(oid::regclass::text, ', ' ORDER BY oid) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition""")


def create_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Create an index while others write to the table; what an attempt that was cut short left goes first.

    It commits what the revision did before, so call it first. *options* are those of Alembic's operation.
    """
    with op.get_context().autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)


def drop_index(name: str, table: str) -> None:
    """Drop an index while others use the table; as `create_index`, call it first."""
    with op.get_context().autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)


def hold_tables() -> None:
    """Lock every table until the revision has committed, or none.

    A revision that locks one table after another meets transactions that hold the second and want the first,
    and Postgres ends either. Here nothing is held while one waits: what is not had soon is given back, and
    tried again a second later.

    Raises:
        sqlalchemy.exc.OperationalError: somebody uses a table for longer than all tries take.
    """
    connection = op.get_bind()
    tables = connection.scalar(TABLES)
    for _ in range(TRIES - 1):
        with suppress(OperationalError):
            return _lock(connection, tables)
        time.sleep(1)
    return _lock(connection, tables)


def _lock(connection: sa.Connection, tables: str) -> None:
    limit = int(HELD_WITHIN.total_seconds() * 1_000)
    with connection.begin_nested():
        connection.execute(sa.text(f"SET LOCAL statement_timeout = {limit}"))
        connection.execute(sa.text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
