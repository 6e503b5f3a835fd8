"""What a database holds, and whether it is as it should be; asked by a role that passes policies."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import text

from models.session import Database, tenant_session

Connection = psycopg.Connection[tuple[Any, ...]]

TABLES = """
SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('public', 'app') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1, 2
"""

UNCONFINED = """
SELECT c.oid::regclass::text FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'organization_id')
  AND NOT (c.relrowsecurity AND c.relforcerowsecurity
           AND EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polpermissive)
           AND EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND NOT p.polpermissive))
ORDER BY 1
"""


def count_rows(connection: Connection) -> dict[str, int]:
    """Return how many rows each table has, those of partitions with their table."""
    counts: dict[str, int] = {}
    for schema, table in connection.execute(TABLES).fetchall():
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
        row = connection.execute(query).fetchone()
        counts[f"{schema}.{table}"] = row[0] if row else 0
    return counts


def differences(wanted: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Name every table that has not as many rows as it should."""
    return [
        f"{table}: {found.get(table, 'missing')} rows instead of {wanted.get(table, 'no table')}"
        for table in sorted(wanted.keys() | found.keys())
        if wanted.get(table) != found.get(table)
    ]


def unconfined_tables(connection: Connection) -> list[str]:
    """Name every table of tenants that row-level security does not confine, its owner included."""
    return [row[0] for row in connection.execute(UNCONFINED)]


def organizations(connection: Connection) -> list[UUID]:
    """Return every organization there is."""
    return [row[0] for row in connection.execute("SELECT organization_id FROM public.organizations")]


def broken_audits(database: Database, tenants: Iterable[UUID]) -> list[str]:
    """Name every organization whose audit log was altered, and the first place that does not fit."""
    broken = []
    for tenant in tenants:
        with tenant_session(database, tenant) as session:
            place = session.execute(text("SELECT app.first_broken_audit()")).scalar_one()
        if place is not None:
            broken.append(f"{tenant}: entry {place}")
    return broken
