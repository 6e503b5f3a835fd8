"""The doors bind their tenant, keep to it and let nobody else's rows through the ORM."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import delete, event, func, insert, select, text, update
from sqlalchemy.exc import InvalidRequestError, ProgrammingError
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from models.audit import AuditEntry, audit_entries
from models.campaign import Campaign
from models.job import Job
from models.lead import Lead
from models.organization import Organization, load_tenant
from models.session import (
    RelayDatabase,
    RelayNotConfiguredError,
    open_relay_database,
    relay_session,
    tenant_session,
)
from models.social import SocialPost
from ops.stack import Stack, settings_from
from tests.support.attack import Site, two_tenants


@pytest.fixture
def site(stack: Stack, template: str) -> Iterator[Site]:
    with two_tenants(stack, template) as site:
        yield site


@pytest.fixture
def relay(stack: Stack, site: Site) -> Iterator[RelayDatabase]:
    database = open_relay_database(settings_from(stack.environment() | site.urls.environment()))
    yield database
    database.engine.dispose()


def test_a_session_reads_its_tenants_objects_only(site: Site) -> None:
    theirs = site.rows("leads", site.theirs)[0]["id"]

    with tenant_session(site.database, site.mine) as session:
        assert [lead.organization_id for lead in session.scalars(select(Lead))] == [site.mine]
        assert session.get(Lead, (site.theirs, theirs)) is None
        assert session.scalars(select(Lead).where(Lead.organization_id == site.theirs)).all() == []
        assert session.scalar(select(func.count()).select_from(Job)) == 1


def test_a_session_changes_its_tenants_objects_only(site: Site) -> None:
    before = site.rows("leads", site.theirs)

    with tenant_session(site.database, site.mine) as session:
        session.execute(update(Lead).values(company="mine"))
        session.execute(update(Lead).where(Lead.organization_id == site.theirs).values(company="mine"))
        session.execute(update(Lead.metadata.tables["leads"]).values(source="mine"))
        session.execute(delete(Lead).where(Lead.organization_id == site.theirs))

    assert site.rows("leads", site.mine)[0]["company"] == "mine"
    assert site.rows("leads", site.theirs) == before


def test_an_object_of_another_tenant_cannot_be_added(site: Site) -> None:
    with (
        pytest.raises(ProgrammingError, match="row-level security"),
        tenant_session(site.database, site.mine) as session,
    ):
        session.add(Campaign(organization_id=site.theirs, name="planted"))


def test_objects_of_another_tenant_cannot_be_added_in_bulk(site: Site) -> None:
    rows = [{"organization_id": site.theirs, "name": "planted"}]
    with (
        pytest.raises(ProgrammingError, match="row-level security"),
        tenant_session(site.database, site.mine) as session,
    ):
        session.execute(insert(Campaign), rows)


def test_the_orm_names_the_tenant_itself_behind_the_policies(site: Site) -> None:
    statements: list[str] = []
    event.listen(site.database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))

    with tenant_session(site.database, site.mine) as session:
        session.scalars(select(Lead)).all()
        session.scalars(select(Job)).all()
        session.execute(update(Campaign).values(name="x"))

    assert len(statements) == 3
    assert all("organization_id =" in statement.partition("WHERE")[2] for statement in statements)


def test_a_session_by_any_other_door_sees_nothing(site: Site) -> None:
    with Session(site.database.engine) as plain, pytest.raises(ProgrammingError, match="no tenant is bound"):
        plain.scalars(select(Lead)).all()


def test_after_an_injected_commit_nothing_is_bound(site: Site) -> None:
    with tenant_session(site.database, site.mine) as session:
        session.execute(text("COMMIT"))
        with pytest.raises(ProgrammingError, match="no tenant is bound"):
            session.execute(text("SELECT FROM leads"))


def test_a_session_is_of_no_use_after_its_block(site: Site) -> None:
    with tenant_session(site.database, site.mine) as session:
        pass

    with pytest.raises(InvalidRequestError):
        session.scalars(select(Lead)).all()


def test_a_block_that_raises_leaves_nothing(site: Site) -> None:
    def interrupted() -> None:
        with tenant_session(site.database, site.mine) as session:
            session.add(Campaign(organization_id=site.mine, name="never"))
            session.flush()
            raise LookupError

    with pytest.raises(LookupError):
        interrupted()
    assert "never" not in {row["name"] for row in site.rows("campaigns", site.mine)}


def test_relations_are_loaded_only_when_asked_for(site: Site) -> None:
    with tenant_session(site.database, site.mine) as session:
        post = session.scalars(select(SocialPost)).one()
        with pytest.raises(InvalidRequestError, match="raise"):
            _ = post.account


def test_soft_deleted_rows_are_left_out_unless_asked_for(site: Site) -> None:
    with tenant_session(site.database, site.mine) as session:
        session.scalars(select(Lead)).one().deleted_at = datetime.now(UTC)

    everything = select(Lead).execution_options(include_deleted=True)
    with tenant_session(site.database, site.mine) as session:
        assert session.scalars(select(Lead)).all() == []
        assert len(session.scalars(everything).all()) == 1
        assert session.execute(text("SELECT FROM live_leads")).all() == []
    assert len(site.rows("leads", site.mine)) == 1


def test_a_tenant_is_loaded_and_an_absent_or_deleted_one_is_not(site: Site) -> None:
    tenant = load_tenant(site.database, site.mine)
    assert tenant is not None
    assert (tenant.organization_id, tenant.name, tenant.plan) == (site.mine, "Acme", "professional")
    assert load_tenant(site.database, uuid7()) is None

    with tenant_session(site.database, site.mine) as session:
        session.scalars(select(Organization)).one().deleted_at = datetime.now(UTC)
    assert load_tenant(site.database, site.mine) is None


def test_the_audit_log_names_the_actor_of_the_session(site: Site) -> None:
    with tenant_session(site.database, site.mine, actor="ann") as session:
        session.execute(update(Organization).values(status="suspended"))
    with tenant_session(site.database, site.mine) as session:
        session.execute(update(Organization).values(status="active"))
    with tenant_session(site.database, site.mine) as session:
        entries = session.execute(audit_entries().order_by(AuditEntry.position.desc()).limit(2)).all()

    assert [(entry.actor, entry.detail["status"]) for entry in entries] == [
        (None, ["suspended", "active"]),
        ("ann", ["active", "suspended"]),
    ]


def test_the_relay_sees_every_tenant_but_no_payload(site: Site, relay: RelayDatabase) -> None:
    with relay_session(relay) as session:
        seen = session.execute(select(Job.organization_id, Job.id, Job.state)).all()
        assert {row.organization_id for row in seen} == {site.mine, site.theirs}
    for forbidden in ("SELECT payload FROM jobs", "SELECT FROM leads", "SELECT name FROM organizations"):
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            relay_session(relay) as session,
        ):
            session.execute(text(forbidden))


def test_the_relay_works_by_the_owners_url_too(stack: Stack, site: Site) -> None:
    given = stack.environment() | site.urls.environment()
    del given["GENIUS_RELAY_DATABASE_URL"]
    relay = open_relay_database(settings_from(given))

    with relay_session(relay) as session:
        assert session.scalar(text("SELECT current_user")) == "genius_relay"
        assert session.scalar(select(func.count(Job.id))) == 2
    relay.engine.dispose()


def test_without_a_url_for_the_relay_there_is_none(stack: Stack, site: Site) -> None:
    given = {"owner_database_url": None, "relay_database_url": None}
    settings = settings_from(stack.environment() | site.urls.environment()).model_copy(update=given)

    with pytest.raises(RelayNotConfiguredError, match="GENIUS_RELAY_DATABASE_URL"):
        open_relay_database(settings)


def test_binding_takes_no_round_trip_of_its_own(site: Site, tmp_path: Path) -> None:
    with tenant_session(site.database, site.mine) as session:
        session.execute(text("SELECT 1"))
    with round_trips(site, tmp_path / "call") as trips:
        load_tenant(site.database, site.mine)
    assert len(trips) == 1

    with (
        round_trips(site, tmp_path / "session") as trips,
        tenant_session(site.database, site.mine) as session,
    ):
        session.execute(text("SELECT 1"))
    assert len(trips) == 3, "begin and bind, the query, commit and the canary"


@contextmanager
def round_trips(site: Site, path: Path) -> Iterator[list[str]]:
    """Collect the messages that make the server answer, on the one connection that the pool holds."""
    trips: list[str] = []
    connection = _only_connection(site)
    with path.open("w") as file:
        connection.pgconn.trace(file.fileno())
        yield trips
        connection.pgconn.untrace()
    messages = (line.split("\t") for line in path.read_text().splitlines())
    trips += [message[3] for message in messages if message[1:2] == ["F"] and message[3] in ("Query", "Sync")]


def _only_connection(site: Site) -> psycopg.Connection[Any]:
    assert site.database.engine.pool.checkedin() == 1  # type: ignore[attr-defined] # QueuePool has it
    pooled = site.database.engine.raw_connection()
    connection = pooled.driver_connection
    pooled.close()
    assert isinstance(connection, psycopg.Connection)
    return connection
