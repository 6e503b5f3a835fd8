"""What a session leaves on a pooled connection reaches nobody; on a pool that does not look, it does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models import connection
from models.session import Database, open_database, tenant_session
from ops.stack import Stack, settings_from
from tests.attacks.ground import SECRET, Ground, got_across
from tests.support.attack import Site


@contextmanager
def pool(stack: Stack, site: Site, *, careless: bool) -> Iterator[Database]:
    """Open a pool of one connection, which looks at what it takes back, or does not."""
    with pytest.MonkeyPatch.context() as patch:
        if careless:
            patch.setattr(connection, "CANARY", "SELECT %s <> ''")
        database = open_database(settings_from(stack.environment() | site.urls.environment()), pool_size=1)
        yield database
        database.engine.dispose()


def run(database: Database, organization_id: object, *statements: str) -> str:
    """Run statements in one session of a tenant; return what the last says, or the error."""
    said: object = ""
    try:
        with tenant_session(database, organization_id) as session:  # type: ignore[arg-type]
            for statement in statements:
                result = session.execute(text(statement))
                said = result.all() if result.returns_rows else ""
    except DBAPIError as error:
        return f"{type(error).__name__}: {error.orig}"
    return str(said)


def a_cursor_left_open(database: Database, site: Site) -> str:
    run(database, site.theirs, "DECLARE kept CURSOR WITH HOLD FOR SELECT company FROM leads")
    return run(database, site.mine, "FETCH ALL FROM kept")


def a_binding_for_the_whole_session(database: Database, site: Site) -> str:
    run(
        database,
        site.theirs,
        "SELECT set_config('app.tenant_seal', current_setting('app.tenant_seal'), false)",
    )
    with Session(database.engine) as unbound:
        try:
            return str(unbound.execute(text("SELECT company FROM leads")).all())
        except DBAPIError as error:
            return str(error.orig)


def a_secret_in_a_setting(database: Database, site: Site) -> str:
    run(database, site.theirs, "SELECT set_config('my.secret', company, false) FROM leads LIMIT 1")
    return run(database, site.mine, "SELECT current_setting('my.secret', true)")


def a_statement_prepared_by_its_text(database: Database, site: Site) -> str:
    run(database, site.theirs, f"PREPARE kept AS SELECT '{SECRET}'")
    return run(database, site.mine, "SELECT statement FROM pg_prepared_statements WHERE from_sql")


def a_statement_of_the_driver_replaced(database: Database, site: Site) -> str:
    """The attacker puts a statement under the name of one that the driver has prepared for everybody."""
    for _ in range(8):
        run(database, site.mine, "SELECT 1")
    names = run(
        database, site.mine, "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%app.bind%'"
    )
    name = names.strip("[](),'")
    run(
        database,
        site.mine,
        f"DEALLOCATE {name}",
        f"PREPARE {name} (text, text, text) AS"
        " SELECT app.bind($1),"
        " set_config('my.stolen', concat(current_setting('my.stolen', true), $1), false),"
        " set_config('app.actor', $2, true)",
    )
    run(database, site.theirs, "SELECT 1")
    stolen = run(database, site.mine, "SELECT current_setting('my.stolen', true)")
    return stolen if str(site.theirs) in stolen else ""


def a_channel_listened_to(database: Database, site: Site) -> str:
    run(database, site.theirs, f'LISTEN "{SECRET}"')
    return run(database, site.mine, "SELECT pg_listening_channels()")


ATTEMPTS: list[Callable[[Database, Site], str]] = [
    a_cursor_left_open,
    a_binding_for_the_whole_session,
    a_secret_in_a_setting,
    a_statement_prepared_by_its_text,
    a_statement_of_the_driver_replaced,
    a_channel_listened_to,
]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_is_left_reaches_the_next_on_a_careless_pool_and_not_on_ours(
    stack: Stack, ground: Ground, attempt: Callable[[Database, Site], str]
) -> None:
    site = ground.site()
    with pool(stack, site, careless=True) as database:
        assert got_across(attempt(database, site), site), "the attack is no attack"
    with pool(stack, site, careless=False) as database:
        assert not got_across(attempt(database, site), site)


def test_after_an_error_or_a_cancelled_statement_nobody_is_bound(stack: Stack, ground: Ground) -> None:
    site = ground.site()
    with pool(stack, site, careless=False) as database:
        for failing in ("SELECT 1 / 0", "SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)"):
            assert "Error" in run(database, site.theirs, failing)
            with Session(database.engine) as unbound, pytest.raises(DBAPIError, match="no tenant is bound"):
                unbound.execute(text("SELECT company FROM leads"))
