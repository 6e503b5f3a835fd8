"""What Postgres has counted of a database's tables, all that its sessions did included."""

import psycopg
from sqlalchemy import Engine

from ops.stack import PostgresUrls
from tests.support.wait import wait_until

SESSIONS = """
SELECT array_agg(pid) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
STILL_THERE = "SELECT FROM pg_stat_activity WHERE pid = ANY (%s)"


def counting(urls: PostgresUrls, engine: Engine) -> psycopg.Connection:
    """Return a superuser's connection to read counts by, once the sessions of *engine* have handed in theirs.

    A session does so when it ends, and that is some time after its client has hung up.
    """
    connection = psycopg.connect(urls.superuser_url or "", autocommit=True)
    row = connection.execute(SESSIONS).fetchone()
    assert row is not None
    engine.dispose()
    wait_until(lambda: connection.execute(STILL_THERE, (row[0] or [],)).fetchone() is None, 60)
    return connection
