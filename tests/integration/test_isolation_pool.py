"""What a session leaves on a connection reaches no other; unsafe, dead or inherited ones are not used."""

import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote
from uuid import UUID

import pytest
from psycopg import sql
from pydantic import PostgresDsn
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from models.connection import UnsafeConnectionError
from models.organization import load_tenant
from models.session import Database, open_database, tenant_session
from ops.stack import PostgresUrls, Stack, settings_from
from tests.support.attack import Site, two_tenants


@pytest.fixture
def site(stack: Stack, template: str) -> Iterator[Site]:
    with two_tenants(stack, template) as site:
        yield site


def run(site: Site, statement: str) -> None:
    with tenant_session(site.database, site.mine) as session:
        session.execute(text(statement))


def backend(site: Site) -> int:
    """Return the server process behind the pool's next connection."""
    with tenant_session(site.database, site.mine) as session:
        return int(session.scalars(text("SELECT pg_backend_pid()")).one())


def setting(site: Site, name: str) -> str:
    with tenant_session(site.database, site.theirs) as session:
        return str(session.scalars(text("SELECT current_setting(:name)"), {"name": name}).one())


@pytest.mark.parametrize(
    "leftover",
    [
        "SELECT set_config('app.tenant_seal', current_setting('app.tenant_seal'), false)",
        "DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM leads",
        "LISTEN gossip",
    ],
)
def test_a_connection_returned_dirty_is_thrown_away(
    site: Site, leftover: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = backend(site)
    run(site, leftover)

    assert backend(site) != first
    assert [record.levelno for record in caplog.records if record.name == "models.connection"] == [
        logging.ERROR
    ]


def test_a_clean_connection_is_kept(site: Site) -> None:
    assert backend(site) == backend(site)


@pytest.mark.parametrize(
    ("leftover", "name"),
    [
        ("SET search_path = pg_temp", "search_path"),
        ("SET statement_timeout = 0", "statement_timeout"),
        ("SET default_transaction_read_only = on", "default_transaction_read_only"),
        ("SET TIME ZONE 'Asia/Kathmandu'", "TimeZone"),
    ],
)
def test_settings_of_one_session_do_not_reach_the_next(site: Site, leftover: str, name: str) -> None:
    before = setting(site, name)
    run(site, leftover)

    assert setting(site, name) == before


def test_an_advisory_lock_does_not_outlive_its_session(site: Site) -> None:
    run(site, "SELECT pg_advisory_lock(7)")

    with site.superuser() as connection:
        assert connection.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'").fetchall() == []


def test_an_error_in_a_session_leaves_the_connection_usable(site: Site) -> None:
    first = backend(site)
    with pytest.raises(ProgrammingError):
        run(site, "SELECT * FROM no_such_table")

    assert backend(site) == first


def open_with(stack: Stack, urls: PostgresUrls, url: str) -> Database:
    environment = stack.environment() | urls.environment() | {"GENIUS_DATABASE_URL": url}
    return open_database(settings_from(environment), pool_size=1)


def refusal(stack: Stack, site: Site, url: str) -> tuple[str, ...]:
    database = open_with(stack, site.urls, url)
    with pytest.raises(UnsafeConnectionError) as refused:
        load_tenant(database, site.mine)
    with pytest.raises(UnsafeConnectionError), tenant_session(database, site.mine) as session:
        session.execute(text("SELECT 1"))
    database.engine.dispose()
    return refused.value.reasons


def test_a_superuser_is_refused(stack: Stack, site: Site) -> None:
    assert site.urls.superuser_url is not None
    assert "it bypasses policies" in refusal(stack, site, site.urls.superuser_url)


def test_the_owner_of_the_tables_is_refused(stack: Stack, site: Site) -> None:
    assert site.urls.owner_url is not None
    assert "it owns tables" in refusal(stack, site, site.urls.owner_url)


def test_a_role_put_on_by_the_url_is_refused(stack: Stack, site: Site) -> None:
    url = f"{site.urls.superuser_url}?options={quote('-c role=genius_app')}"

    assert refusal(stack, site, url) == ("it may become another role again",)


def test_a_connection_that_arrives_bound_is_refused(stack: Stack, site: Site) -> None:
    url = f"{site.urls.app_url}?options={quote(f'-c app.tenant_seal={site.database.seal(site.theirs)}')}"

    assert refusal(stack, site, url) == ("it arrived bound",)


def test_a_member_of_another_role_is_refused(stack: Stack, site: Site) -> None:
    role, password = f"member_{site.mine.hex}", "pw"
    with site.superuser() as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE genius_app").format(
                sql.Identifier(role), sql.Literal(password)
            )
        )
    server = PostgresDsn(site.urls.app_url).hosts()[0]
    database = site.urls.app_url.rsplit("/", 1)[1]
    url = f"postgresql://{role}:{password}@{server['host']}:{server['port']}/{database}"

    assert refusal(stack, site, url) == ("it is a member of another role",)
    with site.superuser() as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_the_pool_reconnects_when_the_server_has_ended_its_connections(site: Site) -> None:
    first = backend(site)
    with site.superuser() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE usename = 'genius_app' AND datname = current_database()"
        )

    assert load_tenant(site.database, site.mine) is not None
    assert backend(site) != first


def test_the_pool_reconnects_after_a_restart_of_postgres(stack: Stack, site: Site) -> None:
    if stack.embedded_postgres is None:
        pytest.skip("an external Postgres is not ours to restart")
    assert load_tenant(site.database, site.mine) is not None
    stack.embedded_postgres.kill()
    stack.embedded_postgres.start()

    assert load_tenant(site.database, site.mine) is not None
    run(site, "SELECT 1")


def test_a_connection_lost_in_a_transaction_is_an_error_once(site: Site) -> None:
    victim = backend(site)

    def interrupted() -> None:
        with tenant_session(site.database, site.mine) as session:
            session.execute(text("SELECT 1"))
            with site.superuser() as connection:
                connection.execute("SELECT pg_terminate_backend(%s, 5000)", [victim])
            session.execute(text("SELECT 1"))

    with pytest.raises(OperationalError):
        interrupted()
    assert backend(site) != victim


def test_a_forked_child_uses_connections_of_its_own(site: Site) -> None:
    parents = backend(site)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(backend(site)).encode())
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    childs = int(os.read(reader, 100))
    os.close(reader)
    os.close(writer)

    assert status == 0
    assert childs != parents
    assert backend(site) == parents, "the child left the parent's connection alone"


def test_a_statement_that_takes_too_long_is_cancelled(stack: Stack, site: Site) -> None:
    environment = stack.environment() | site.urls.environment()
    settings = settings_from(environment).model_copy(update={"statement_timeout": timedelta(milliseconds=50)})
    database = open_database(settings, pool_size=1)

    with (
        pytest.raises(OperationalError, match="statement timeout"),
        tenant_session(database, site.mine) as session,
    ):
        session.execute(text("SELECT pg_sleep(10)"))
    database.engine.dispose()


def test_an_idle_transaction_is_ended_by_the_server(site: Site) -> None:
    assert setting(site, "idle_in_transaction_session_timeout") == "1min"


def test_many_tenants_share_a_small_pool_without_mixing(site: Site) -> None:
    def seen(organization_id: UUID) -> set[UUID]:
        with tenant_session(site.database, organization_id) as session:
            return set(session.scalars(text("SELECT organization_id FROM leads")))

    for _ in range(20):
        assert seen(site.mine) == {site.mine}
        assert seen(site.theirs) == {site.theirs}
        tenant = load_tenant(site.database, site.theirs)
        assert tenant is not None
        assert tenant.organization_id == site.theirs
