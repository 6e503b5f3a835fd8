"""Connections as an attacker has them: the application's role, raw SQL, a binding or none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from uuid_utils.compat import uuid7

from models.session import Database, open_database, tenant_session
from ops.stack import PostgresUrls, Stack, settings_from
from tests.support.clone import clone
from tests.support.rows import fill

Raw = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Site:
    """One database with two tenants, each with a row in every table."""

    urls: PostgresUrls
    database: Database
    mine: UUID
    theirs: UUID

    @contextmanager
    def raw(self, *, bound_to: UUID | None = None) -> Iterator[Raw]:
        """Open a transaction as the application's role; it is rolled back."""
        with psycopg.connect(self.urls.app_url, row_factory=dict_row) as connection:
            if bound_to is not None:
                bind(connection, self.database.seal(bound_to))
            yield connection
            connection.rollback()

    @contextmanager
    def superuser(self) -> Iterator[Raw]:
        """Open a transaction that sees every row, to set up and to check."""
        assert self.urls.superuser_url is not None
        with psycopg.connect(self.urls.superuser_url, row_factory=dict_row) as connection:
            yield connection

    def rows(self, table: str, organization_id: UUID) -> list[dict[str, Any]]:
        """Return a tenant's rows as they really are."""
        query = sql.SQL("SELECT * FROM {} WHERE organization_id = %s ORDER BY 2").format(
            sql.Identifier(table)
        )
        with self.superuser() as connection:
            return connection.execute(query, [organization_id]).fetchall()


@contextmanager
def two_tenants(stack: Stack, template: str) -> Iterator[Site]:
    """Make a database with a row of two tenants in every table."""
    with clone(stack, template) as urls:
        database = open_database(settings_from(stack.environment() | urls.environment()), pool_size=5)
        site = Site(urls, database, mine=uuid7(), theirs=uuid7())
        for organization_id in (site.mine, site.theirs):
            with tenant_session(database, organization_id) as session:
                fill(session, organization_id)
        yield site
        database.engine.dispose()


def bind(connection: psycopg.Connection[Any], seal: str, *, local: bool = True) -> None:
    connection.execute("SELECT set_config('app.tenant_seal', %s, %s)", [seal, local])


def refused(connection: psycopg.Connection[Any], query: LiteralString | sql.Composed, *values: Any) -> bool:
    """Tell whether Postgres denies the statement for want of a privilege or a policy."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(query, values)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False
