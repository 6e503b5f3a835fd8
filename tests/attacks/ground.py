"""Where attacks are tried: our database, and copies that each lack one thing that keeps tenants apart."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import text

from models.session import open_database, tenant_session
from ops.stack import Stack, settings_from
from tests.support.attack import Raw, Site, bind, two_tenants
from tests.support.clone import clone

SECRET = "crown-jewels"
"""What only the other tenant's rows say."""

MORE_LEADS = """
INSERT INTO leads (organization_id, email, company)
SELECT :organization_id, 'x', :s FROM generate_series(1, 5)
"""
"""As many as it takes to be among the commonest values that the planner notes."""

LARGE_OBJECT = "SELECT lo_from_bytea(4242, convert_to(%s, 'UTF8'))"

WHOLE = ""
"""The name of the copy that lacks nothing."""

BREAKS = {
    name: statements
    for name, _, statements in (
        part.partition("\n")
        for part in Path(__file__).with_name("breaks.sql").read_text().split("-- break: ")[1:]
    )
}


@dataclass
class Ground:
    """Copies of one database with two tenants, made when first asked for."""

    stack: Stack
    template: str
    mine: UUID
    theirs: UUID
    exits: ExitStack
    _sites: dict[str, Site] = field(default_factory=dict)

    def site(self, broken: str = WHOLE) -> Site:
        """Return the copy that is broken like *broken*."""
        if broken not in self._sites:
            self._sites[broken] = self.exits.enter_context(self._copy(broken))
        return self._sites[broken]

    @contextmanager
    def _copy(self, broken: str) -> Iterator[Site]:
        with clone(self.stack, self.template) as urls:
            database = open_database(
                settings_from(self.stack.environment() | urls.environment()), pool_size=5
            )
            site = Site(urls, database, mine=self.mine, theirs=self.theirs)
            if broken:
                with site.superuser() as connection:
                    connection.execute(BREAKS[broken].encode())
            yield site
            database.engine.dispose()


@contextmanager
def new_ground(stack: Stack, template: str) -> Iterator[Ground]:
    """Fill one database for two tenants, of which the other has a secret, and copy it as often as needed."""
    with two_tenants(stack, template) as site, ExitStack() as exits:
        with tenant_session(site.database, site.theirs) as session:
            for statement in ("UPDATE leads SET company = :s", "UPDATE campaigns SET name = :s"):
                session.execute(text(statement), {"s": SECRET})
            session.execute(
                text("UPDATE jobs SET payload = jsonb_build_object('s', cast(:s AS text))"), {"s": SECRET}
            )
            session.execute(text("UPDATE quota_periods SET reserved = 1"))
            session.execute(text("UPDATE users SET email_norm = :s"), {"s": SECRET})
            session.execute(text(MORE_LEADS), {"s": SECRET, "organization_id": site.theirs})
        with site.superuser() as connection:
            connection.execute(LARGE_OBJECT, [SECRET])
            connection.execute("GRANT SELECT ON LARGE OBJECT 4242 TO PUBLIC")
            connection.execute("ANALYZE leads")
        site.database.engine.dispose()
        name = urlsplit(site.urls.app_url).path.removeprefix("/")
        yield Ground(stack, name, site.mine, site.theirs, exits)


Attempt = Callable[[Site], bool]
"""Tries once, rolls back what it can, and tells whether it got across."""


def got_across(said: object, site: Site) -> bool:
    """Tell whether an answer holds anything of the other tenant."""
    return SECRET in str(said) or str(site.theirs) in str(said)


def inject(connection: Raw, statements: str, **parts: Any) -> str:
    """Run statements as injected text runs, all in one message; return everything said, refusals included."""
    composed = sql.SQL(statements).format(**literals(parts))  # type: ignore[arg-type]
    cursor = connection.cursor()
    said: list[str] = []
    connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
    try:
        cursor.execute(composed)
        while True:
            said.append(str(cursor.fetchall()) if cursor.description else f"{cursor.rowcount} rows")
            if not cursor.nextset():
                return "\n".join(said)
    except psycopg.Error as error:
        connection.rollback()
        return "\n".join([*said, f"{type(error).__name__}: {error}"])


def literals(parts: dict[str, Any]) -> dict[str, sql.Composable]:
    """Return values as they stand in the text of a statement."""
    return {
        name: value if isinstance(value, sql.Composable) else sql.Literal(value)
        for name, value in parts.items()
    }


def forged(site: Site) -> str:
    """Return a seal for the other tenant with another one's signature."""
    return site.database.seal(site.mine).replace(str(site.mine), str(site.theirs))


@contextmanager
def standing(site: Site) -> Iterator[Raw]:
    """Open a transaction of the other tenant, through a raw connection, that goes on meanwhile."""
    with site.raw() as connection:
        bind(connection, site.database.seal(site.theirs))
        yield connection
