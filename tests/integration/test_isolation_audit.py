"""The audit log records changes by itself, and shows when anybody tampered with it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import psycopg
import pytest
from sqlalchemy import text, update

from models.organization import Organization
from models.session import tenant_session
from models.user import User
from ops.stack import Stack
from tests.support.attack import Raw, Site, bind, two_tenants

ENTRIES = 7
"""What making the rows of one tenant records."""


@pytest.fixture
def site(stack: Stack, template: str) -> Iterator[Site]:
    with two_tenants(stack, template) as site:
        yield site


def actions(site: Site) -> list[str]:
    entries = sorted(site.rows("audit_log", site.mine), key=lambda entry: entry["position"])
    return [entry["action"] for entry in entries]


def first_broken(site: Site, connection: Raw) -> int | None:
    bind(connection, site.database.seal(site.mine))
    row = connection.execute("SELECT app.first_broken_audit() AS position").fetchone()
    assert row is not None
    return row["position"]  # type: ignore[no-any-return]


def test_changes_of_audited_tables_are_recorded_by_the_database(site: Site) -> None:
    assert sorted(actions(site)) == [
        "email_recipients.insert",
        "organizations.insert",
        "settings.insert",
        "social_accounts.insert",
        "subscriptions.insert",
        "users.insert",
        "webhook_endpoints.insert",
    ]
    with tenant_session(site.database, site.mine) as session:
        session.execute(update(User).values(role="admin"))
        session.execute(update(User).values(name="no audited column"))
        session.execute(update(User).values(role="admin"))  # nothing changes

    [entry] = [row for row in site.rows("audit_log", site.mine) if row["action"] == "users.update"]
    assert entry["detail"] == {"role": ["member", "admin"]}
    assert entry["origin"] == "database"


def test_what_is_recorded_holds_no_address_of_a_person(site: Site) -> None:
    assert "example.org" not in str(site.rows("audit_log", site.mine))


def test_the_application_may_add_entries_marked_as_its_own_and_nothing_else(site: Site) -> None:
    with tenant_session(site.database, site.mine, actor="ann") as session:
        session.execute(text("SELECT app.audit('leads.export', '42', '{\"rows\": 3}')"))
    [entry] = [row for row in site.rows("audit_log", site.mine) if row["action"] == "leads.export"]
    assert (entry["origin"], entry["actor"], entry["subject"]) == ("application", "ann", "42")

    for statement in (
        "INSERT INTO audit_log SELECT * FROM audit_log",
        "UPDATE audit_log SET actor = 'somebody else'",
        "DELETE FROM audit_log",
        "UPDATE audit_heads SET position = 0",
        "DELETE FROM audit_heads",
    ):
        with site.raw(bound_to=site.mine) as raw, pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw.execute(statement.encode())


def test_a_rolled_back_change_leaves_no_entry(site: Site) -> None:
    before = actions(site)
    with site.raw(bound_to=site.mine) as connection:
        connection.execute("UPDATE organizations SET status = 'suspended'")

    assert actions(site) == before


def test_the_chain_holds_whatever_the_time_zone_of_its_reader(site: Site) -> None:
    with site.raw() as connection:
        for zone in ("UTC", "Asia/Kathmandu", "America/St_Johns"):
            connection.execute("SELECT set_config('TimeZone', %s, true)", [zone])
            assert first_broken(site, connection) is None


def test_writers_at_once_make_one_chain_without_a_gap(site: Site) -> None:
    def rename(number: int) -> None:
        with tenant_session(site.database, site.mine) as session:
            session.execute(update(Organization).values(name=str(number)))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(rename, range(20)))

    entries = sorted(site.rows("audit_log", site.mine), key=lambda entry: entry["position"])
    assert [entry["position"] for entry in entries] == list(range(1, ENTRIES + 21))
    assert all(later["previous_hash"] == earlier["hash"] for earlier, later in pairwise(entries))
    with site.raw() as connection:
        assert first_broken(site, connection) is None


TAMPERING = {
    "UPDATE audit_log SET actor = 'somebody else' WHERE position = 3": 3,
    "UPDATE audit_log SET occurred_at = occurred_at - interval '1 day' WHERE position = 2": 2,
    "UPDATE audit_log SET detail = '{}' WHERE position = 4": 4,
    "DELETE FROM audit_log WHERE position = 1": 1,
    "DELETE FROM audit_log WHERE position = 3": 3,
    f"DELETE FROM audit_log WHERE position = {ENTRIES}": ENTRIES,
    "DELETE FROM audit_log": ENTRIES,
    f"DELETE FROM audit_log WHERE position = {ENTRIES}; UPDATE audit_heads SET position = {ENTRIES - 1}": (
        ENTRIES - 1
    ),
}


@pytest.mark.parametrize(("tampering", "position"), TAMPERING.items())
def test_tampering_by_whoever_may_is_shown(site: Site, tampering: str, position: int) -> None:
    with site.superuser() as connection:
        connection.execute(tampering.encode())

    with site.raw() as connection:
        assert first_broken(site, connection) == position
