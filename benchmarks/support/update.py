"""What every rival does in a job: change one row, on a connection that its thread keeps."""

import os
import threading
from functools import cache

import psycopg

UPDATE = "UPDATE bench_rows SET n = n + 1 WHERE id = %s"
ROWS = 1_000
_local = threading.local()


def update(row: int) -> None:
    """Change *row* and commit."""
    if not hasattr(_local, "connection"):
        _local.connection = psycopg.connect(url(), autocommit=True)
    _local.connection.execute(UPDATE, (row,))


@cache
def url() -> str:
    """Return the database of the rivals."""
    return os.environ["BENCH_DATABASE"]


def create_rows(database_url: str) -> None:
    """Make the table that rivals update."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bench_rows (id integer PRIMARY KEY, n bigint NOT NULL DEFAULT 0)")
        connection.execute("INSERT INTO bench_rows (id) SELECT generate_series(0, %s)", (ROWS - 1,))
