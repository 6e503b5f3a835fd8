"""One session reaches no other: not what it runs, not its life, not what it is told, not its role."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import text

from models.session import tenant_session
from tests.attacks.ground import SECRET, Ground, got_across, inject, standing
from tests.support.attack import Raw, Site

OPEN = "not hardened"


def ending_another_tenants_session(site: Site) -> bool:
    return _stops(site, "pg_terminate_backend({pid})")


def cancelling_what_another_tenants_session_runs(site: Site) -> bool:
    return _stops(site, "pg_cancel_backend({pid})")


def _stops(site: Site, call: str) -> bool:
    sent = ""
    with (
        suppress(psycopg.OperationalError),
        standing(site) as victim,
        site.raw(bound_to=site.mine) as attacker,
    ):
        sent = inject(attacker, f"SELECT {call} AS sent", pid=victim.info.backend_pid)
    return "True" in sent


def reading_another_tenants_seal_from_what_it_runs(site: Site) -> bool:
    """A statement that carries its seal in its text shows it to whoever may look."""
    with standing(site) as victim, site.raw(bound_to=site.mine) as attacker:
        seal = site.database.seal(site.theirs)
        victim.execute(sql.SQL("SELECT set_config('app.tenant_seal', {}, true)").format(seal))
        return seal in inject(attacker, "SELECT query FROM pg_stat_activity")


def keeping_something_in_a_large_object(site: Site) -> bool:
    """What one session keeps where there are no policies, any other takes out."""
    with standing(site) as victim, site.raw(bound_to=site.mine) as attacker:
        kept = inject(
            victim, "SELECT lo_from_bytea(0, convert_to({secret}, 'UTF8')) AS kept; COMMIT", secret=SECRET
        )
        return "kept" in kept and got_across(
            inject(attacker, "SELECT convert_from(lo_get(4242), 'UTF8')"), site
        )


def keeping_something_in_a_temporary_table(site: Site) -> bool:
    with standing(site) as shared:
        inject(shared, "CREATE TEMP TABLE kept AS SELECT company FROM leads; COMMIT")
        return got_across(inject(shared, "SELECT company FROM kept"), site)


ATTEMPTS: list[tuple[Callable[[Site], bool], str]] = [
    (ending_another_tenants_session, OPEN),
    (cancelling_what_another_tenants_session_runs, OPEN),
    (reading_another_tenants_seal_from_what_it_runs, OPEN),
    (keeping_something_in_a_large_object, OPEN),
    (keeping_something_in_a_temporary_table, OPEN),
]


@pytest.mark.parametrize(("attempt", "broken"), ATTEMPTS)
def test_a_session_reaches_another_on_a_broken_copy_and_not_on_ours(
    ground: Ground, attempt: Callable[[Site], bool], broken: str
) -> None:
    assert attempt(ground.site(broken)), "the attack is no attack"
    assert not attempt(ground.site())


def test_listening_hears_of_another_tenants_change_on_a_broken_copy_and_not_on_ours(ground: Ground) -> None:
    def heard(site: Site) -> bool:
        with psycopg.connect(site.urls.app_url, autocommit=True) as attacker:
            attacker.execute("LISTEN leads")
            with tenant_session(site.database, site.theirs) as session:
                session.execute(text("UPDATE leads SET source = source"))
            attacker.execute("SELECT 1")  # what was sent has come with its answer
            return got_across(list(attacker.notifies(timeout=0)), site)

    assert heard(ground.site("everybody is told"))
    assert not heard(ground.site())


def test_no_door_shows_its_seal_even_to_a_superuser(ground: Ground) -> None:
    site = ground.site()
    with tenant_session(site.database, site.theirs) as session:
        session.connection()
        with site.superuser() as connection:
            seen = connection.execute(
                "SELECT query FROM pg_stat_activity"
                " WHERE usename = 'genius_app' AND datname = current_database()"
            ).fetchall()
    assert any("app.bind" in row["query"] for row in seen), "it is the statement that binds"
    assert not got_across(seen, site)


@contextmanager
def member(site: Site) -> Iterator[Raw]:
    """Connect as a role that may become the owner and the relay, as no role of ours may."""
    role = sql.Identifier(f"broken_{site.mine.hex}")
    with site.superuser() as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'pw' IN ROLE genius_app, genius_relay").format(role)
        )
    url = psycopg.conninfo.make_conninfo(site.urls.app_url, user=f"broken_{site.mine.hex}", password="pw")
    try:
        with psycopg.connect(url, row_factory=dict_row) as connection:
            yield connection
            connection.rollback()
    finally:
        with site.superuser() as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


BECOME = "SET LOCAL ROLE genius_relay; SELECT organization_id FROM jobs"


def test_becoming_the_relay_works_for_a_member_of_its_role_and_not_for_ours(ground: Ground) -> None:
    site = ground.site()
    with member(site) as broken, site.raw(bound_to=site.mine) as ours:
        assert got_across(inject(broken, BECOME), site)
        assert not got_across(inject(ours, BECOME), site)


RELAY = {
    "the payloads of jobs": "SELECT payload FROM jobs",
    "the rows of leads": "SELECT company FROM leads",
    "the names of campaigns": "SELECT name FROM campaigns",
    "a payload changed": "UPDATE jobs SET payload = '{{}}' RETURNING organization_id",
    "a job given to another": "UPDATE jobs SET organization_id = organization_id RETURNING organization_id",
    "a job deleted": "DELETE FROM job_events RETURNING organization_id",
    "an account's secrets": "SELECT organization_id, access_token_encrypted FROM social_accounts",
}


@pytest.mark.parametrize("name", RELAY)
def test_the_relay_reaches_too_far_on_a_broken_copy_and_not_on_ours(ground: Ground, name: str) -> None:
    for site, works in ((ground.site("relay reads all"), True), (ground.site(), False)):
        assert site.urls.relay_url is not None
        with psycopg.connect(site.urls.relay_url, row_factory=dict_row) as connection:
            assert got_across(inject(connection, RELAY[name]), site) is works
            connection.rollback()
