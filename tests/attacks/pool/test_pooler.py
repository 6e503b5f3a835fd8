"""What a session leaves on a server connection that a pooler hands to others reaches nobody.

Both sides are pools of other processes, so nobody looks at what the other left; one PgBouncer forgets it, one
does not.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models import connection
from models.connection import UnsafeConnectionError
from models.session import Database, open_database
from ops.stack import Stack, settings_from
from tests.attacks.ground import SECRET, Ground, got_across
from tests.attacks.pool.test_pool import run
from tests.support.attack import Site
from tests.support.pooler import NEEDS_PGBOUNCER, pgbouncer, through

pytestmark = NEEDS_PGBOUNCER


@contextmanager
def two_processes(
    stack: Stack, site: Site, directory: Path, *, careless: bool
) -> Iterator[tuple[Database, Database]]:
    """Open the pools of an attacker and a victim, which take turns on one server connection."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as exits:
        patch.setattr(connection, "CANARY", "SELECT %s <> ''")
        if careless:
            patch.setattr(connection, "_refuse_keepsakes", lambda *_: None)
        pooler = exits.enter_context(
            pgbouncer(directory, [site.urls.app_url], connections=1, reset=not careless)
        )
        attacker, victim = (opened(stack, site, pooler, exits) for _ in range(2))
        assert "1" in run(attacker, site.mine, "SELECT 1")  # who connects later is looked at again
        yield attacker, victim


def opened(stack: Stack, site: Site, pooler: str, exits: ExitStack) -> Database:
    environment = stack.environment() | site.urls.environment()
    environment |= {
        "GENIUS_DATABASE_URL": through(site.urls.app_url, pooler),
        "GENIUS_DATABASE_POOLED": "true",
    }
    database = open_database(settings_from(environment), pool_size=1)
    exits.callback(database.engine.dispose)
    return database


def a_cursor_left_open(attacker: Database, victim: Database, site: Site) -> str:
    run(victim, site.theirs, "DECLARE kept CURSOR WITH HOLD FOR SELECT company FROM leads")
    return run(attacker, site.mine, "FETCH ALL FROM kept")


def a_secret_in_a_setting(attacker: Database, victim: Database, site: Site) -> str:
    run(victim, site.theirs, "SELECT set_config('my.secret', company, false) FROM leads LIMIT 1")
    return run(attacker, site.mine, "SELECT current_setting('my.secret', true)")


def a_statement_prepared_by_its_text(attacker: Database, victim: Database, site: Site) -> str:
    run(victim, site.theirs, f"PREPARE kept AS SELECT '{SECRET}'")
    return run(attacker, site.mine, "SELECT statement FROM pg_prepared_statements WHERE from_sql")


def a_channel_listened_to(attacker: Database, victim: Database, site: Site) -> str:
    run(victim, site.theirs, f'LISTEN "{SECRET}"')
    return run(attacker, site.mine, "SELECT pg_listening_channels()")


def a_binding_for_the_whole_session(attacker: Database, victim: Database, site: Site) -> str:
    run(
        victim,
        site.theirs,
        "SELECT set_config('app.tenant_seal', current_setting('app.tenant_seal'), false)",
    )
    with Session(attacker.engine) as unbound:
        try:
            return str(unbound.execute(text("SELECT company FROM leads")).all())
        except DBAPIError as error:
            return str(error.orig)


ATTEMPTS: list[Callable[[Database, Database, Site], str]] = [
    a_cursor_left_open,
    a_secret_in_a_setting,
    a_statement_prepared_by_its_text,
    a_channel_listened_to,
    a_binding_for_the_whole_session,
]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_is_left_reaches_the_next_through_a_careless_pooler_and_not_through_ours(
    stack: Stack, ground: Ground, test_directory: Path, attempt: Callable[[Database, Database, Site], str]
) -> None:
    site = ground.site()
    with two_processes(stack, site, test_directory, careless=True) as (attacker, victim):
        assert got_across(attempt(attacker, victim, site), site), "the attack is no attack"
    with two_processes(stack, site, test_directory, careless=False) as (attacker, victim):
        assert not got_across(attempt(attacker, victim, site), site)


def test_a_pooler_that_keeps_what_sessions_leave_is_refused(
    stack: Stack, ground: Ground, test_directory: Path
) -> None:
    site = ground.site()
    with (
        ExitStack() as exits,
        pgbouncer(test_directory, [site.urls.app_url], connections=1, reset=False) as pooler,
    ):
        database = opened(stack, site, pooler, exits)
        with pytest.raises(UnsafeConnectionError, match="server_reset_query_always"):
            database.engine.connect()
