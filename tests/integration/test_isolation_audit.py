"""The audit log records changes by itself, and shows when anybody tampered with it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text, update

from models.audit import AuditEntry, audit_entries
from models.organization import Organization
from models.session import tenant_session
from models.user import User
from ops.stack import Stack
from tests.support.attack import Raw, Site, bind, two_tenants


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
    recorded = {action.removesuffix(".insert") for action in actions(site)}
    assert recorded >= {"email_recipients", "organizations", "settings", "leads", "campaigns", "users"}
    with tenant_session(site.database, site.mine) as session:
        session.execute(update(User).values(role="admin", name="Ann"))
        session.execute(update(User).values(email_norm="not an audited column"))
        session.execute(update(User).values(role="admin"))  # nothing changes
        assert session.execute(audit_entries().where(AuditEntry.action == "users.update")).all() == []
    with tenant_session(site.database, site.mine) as session:  # an entry is made at the commit
        [entry] = session.execute(audit_entries().where(AuditEntry.action == "users.update"))

    assert entry.detail == {"role": ["member", "admin"], "name": [None, "Ann"]}
    assert entry.origin == "database"
    assert UUID(entry.subject) == site.rows("users", site.mine)[0]["id"]


def test_what_the_chain_holds_names_no_person(site: Site) -> None:
    [user] = site.rows("users", site.mine)
    chain = str(site.rows("audit_log", site.mine))
    assert "example.org" not in chain
    assert str(user["id"]) not in chain
    assert "example.org" in str(site.rows("audit_details", site.mine)), "the look would find it"


def test_the_application_may_add_entries_marked_as_its_own_and_nothing_else(site: Site) -> None:
    with tenant_session(site.database, site.mine, actor="ann") as session:
        session.execute(text("SELECT app.audit('leads.export', '42', '{\"rows\": 3}')"))
    with tenant_session(site.database, site.mine) as session:
        [entry] = session.execute(audit_entries().where(AuditEntry.action == "leads.export"))
    assert (entry.origin, entry.actor, entry.subject) == ("application", "ann", "42")
    assert entry.detail == {"rows": 3}

    for statement in (
        "INSERT INTO audit_log SELECT * FROM audit_log",
        "UPDATE audit_log SET actor = 'somebody else'",
        "DELETE FROM audit_log",
        "UPDATE audit_heads SET position = 0",
        "DELETE FROM audit_heads",
        "UPDATE audit_details SET detail = '{}'",
        "DELETE FROM audit_details",
        "DELETE FROM audit_names",
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

    before = len(actions(site))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(rename, range(20)))

    entries = sorted(site.rows("audit_log", site.mine), key=lambda entry: entry["position"])
    assert [entry["position"] for entry in entries] == list(range(1, before + 21))
    assert all(later["previous_hash"] == earlier["hash"] for earlier, later in pairwise(entries))
    with site.raw() as connection:
        assert first_broken(site, connection) is None


LAST = "(SELECT max(position) FROM audit_log WHERE organization_id = '{mine}')"
DETAIL_OF = "id = (SELECT id FROM audit_log WHERE position = {place} AND organization_id = '{{mine}}')"
FORGET = "jsonb_build_object('forgotten', jsonb_build_array(3))"
TAMPERING = {
    "UPDATE audit_log SET actor = 'somebody else' WHERE position = 3": 3,
    "UPDATE audit_log SET occurred_at = occurred_at - interval '1 day' WHERE position = 2": 2,
    "UPDATE audit_log SET detail = '{{\"x\": 1}}' WHERE position = 4": 4,
    f"UPDATE audit_log SET detail = {FORGET} WHERE position = 5": 5,
    "UPDATE audit_details SET detail = '{{\"x\": 1}}' WHERE " + DETAIL_OF.format(place=4): 4,
    "UPDATE audit_details SET salt = '\\x00' WHERE " + DETAIL_OF.format(place=2): 2,
    "DELETE FROM audit_details WHERE " + DETAIL_OF.format(place=6): 6,
    "DELETE FROM audit_log WHERE position = 1": 1,
    "DELETE FROM audit_log WHERE position = 3": 3,
    f"DELETE FROM audit_log WHERE position = {LAST}": -1,
    "DELETE FROM audit_log": -1,
    f"DELETE FROM audit_log WHERE position = {LAST}; UPDATE audit_heads SET position = position - 1": -2,
}
"""What is done to the log, and the first position that is shown: negative counts from the end."""


@pytest.mark.parametrize(("tampering", "position"), TAMPERING.items())
def test_tampering_by_whoever_may_is_shown(site: Site, tampering: str, position: int) -> None:
    length = len(actions(site))
    with site.superuser() as connection:
        connection.execute(tampering.format(mine=site.mine).encode())

    with site.raw() as connection:
        assert first_broken(site, connection) == (position if position > 0 else length + 1 + position)


def test_a_long_transaction_holds_up_nobody_elses_audited_change(site: Site) -> None:
    with site.raw(bound_to=site.mine) as slow, site.raw(bound_to=site.mine) as quick:
        slow.execute("UPDATE campaigns SET name = name || '!'")
        quick.execute("SET LOCAL lock_timeout = '2s'")
        quick.execute("UPDATE users SET name = 'Bea'")
        quick.commit()
        # As app.forget_audit, which waits.
        with site.superuser() as erasing, pytest.raises(psycopg.errors.LockNotAvailable):
            erasing.execute("SELECT FROM public.audit_heads FOR UPDATE NOWAIT")
        slow.commit()
    assert actions(site)[-2:] == ["users.update", "campaigns.update"]
