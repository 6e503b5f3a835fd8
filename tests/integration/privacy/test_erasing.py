"""Erasure: resumed wherever it ended, safe to repeat, of a person or of all there is."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text, update
from uuid_utils.compat import uuid7

from models.audit import AuditEntry, audit_entries
from models.lead import Lead
from models.organization import Organization, Tenant, load_tenant
from models.privacy import PrivacyRequest, RequestKind, RequestState
from models.registry import load_tables
from models.session import Database, tenant_session
from models.user import User
from ops.stack import PostgresUrls
from tasks.privacy.erase import PERSON_STEPS, erase
from tasks.privacy.everything import KEPT
from tasks.privacy.person import Subject
from tests.integration.privacy.search import in_tables
from tests.support.rows import fill
from worker.context import Completion

LEA = "lea.quxwort@mail.example"
Erase = Callable[[Tenant, Subject | None], UUID]


class KilledError(Exception):
    """The worker died here."""


@pytest.fixture
def acme(organization: Callable[..., Tenant], database: Database) -> Tenant:
    tenant = organization(name="Acme")
    with tenant_session(database, tenant.organization_id, actor="ann") as session:
        session.add(
            Lead(organization_id=tenant.organization_id, email=LEA, email_norm=LEA, phone="+49 151 2345678")
        )
        session.add(
            Lead(organization_id=tenant.organization_id, email="bo@b.example", email_norm="bo@b.example")
        )
    return tenant


def test_an_erasure_that_dies_after_each_step_ends_at_last_and_proves_it_all(
    acme: Tenant,
    database: Database,
    database_urls: PostgresUrls,
    ask: Callable[..., UUID],
    run: Callable[..., Completion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request_id = ask(acme, RequestKind.ERASURE, Subject(email=LEA))
    steps: dict[str, Any] = dict(PERSON_STEPS)
    fallen: set[str] = set()
    taken: Counter[str] = Counter()

    def dying(name: str) -> Callable[..., Any]:
        def step(erasure: Any) -> Any:
            did = steps[name](erasure)
            taken[name] += 1
            if name not in fallen:
                fallen.add(name)
                raise KilledError(name)
            return did

        return step

    monkeypatch.setattr("tasks.privacy.erase.PERSON_STEPS", {name: dying(name) for name in steps})
    for _ in steps:
        with pytest.raises(KilledError):
            run(acme, erase, request_id)
    run(acme, erase, request_id)
    assert run(acme, erase, request_id).result == {"erased": False}, "it is done"

    assert taken == dict.fromkeys(steps, 2), "each until it was noted as done, and no more"
    assert database_urls.superuser_url is not None
    assert in_tables(database_urls.superuser_url, [LEA, "1512345678"]) == []
    with tenant_session(database, acme.organization_id) as session:
        request = session.get_one(PrivacyRequest, (acme.organization_id, request_id))
        assert request.subject_encrypted is None
        assert set(request.outcome or {}) == {"pseudonym", *steps}
        assert session.scalars(select(Lead.email)).all() == ["bo@b.example"]


def test_a_user_who_is_erased_stays_out_and_has_no_name(
    acme: Tenant, database: Database, erased: Erase
) -> None:
    ann = uuid7()
    organization_id = acme.organization_id
    with tenant_session(database, organization_id, actor=str(ann)) as session:
        session.add(
            User(organization_id=organization_id, id=ann, email=LEA, email_norm=LEA, name="Lea Quxwort")
        )
    with tenant_session(database, organization_id, actor=str(ann)) as session:
        session.execute(update(Organization).values(name="Acme of Lea Quxwort"))

    erased(acme, Subject(user_id=ann))

    with tenant_session(database, organization_id) as session:
        row = session.execute(text("SELECT email, name, status, deleted_at IS NULL FROM users")).one()
        assert tuple(row) == (f"erased-{ann}", None, "disabled", False)
        assert session.scalar(select(Organization.name)) == "Acme of [erased]"
        [entry] = session.execute(audit_entries().where(AuditEntry.action == "organizations.update"))
        assert UUID(entry.actor) != ann, "who did it has become a pseudonym"
        assert session.scalar(text("SELECT app.first_broken_audit()")) is None


def test_words_that_only_resemble_the_person_stay(acme: Tenant, database: Database, erased: Erase) -> None:
    note = "ask alea.quxwort@mail.example or lea.quxwort@mail.example.org, not (0151) 23456789"
    with tenant_session(database, acme.organization_id) as session:
        session.execute(
            text("INSERT INTO campaigns (organization_id, name) VALUES (app.sealed_tenant(), :n)"),
            {"n": note},
        )

    erased(acme, Subject(email=LEA))

    with tenant_session(database, acme.organization_id) as session:
        assert session.scalar(text("SELECT name FROM campaigns")) == note.replace(
            "lea.quxwort@mail.example.org", "[erased].org"
        ).replace("a[erased].org", note.split()[1])


def test_nobody_of_another_organization_is_erased(
    acme: Tenant, organization: Callable[..., Tenant], database: Database, erased: Erase
) -> None:
    globex = organization(name="Globex")
    with tenant_session(database, globex.organization_id) as session:
        session.add(Lead(organization_id=globex.organization_id, email=LEA, email_norm=LEA))

    erased(acme, Subject(email=LEA))

    with tenant_session(database, globex.organization_id) as session:
        assert session.scalars(select(Lead.email)).all() == [LEA]


def test_an_organization_leaves_its_chain_and_its_proof_and_nothing_else(
    database: Database, organization: Callable[..., Tenant], erased: Erase
) -> None:
    organization_id = uuid7()
    with tenant_session(database, organization_id, actor="ann") as session:
        fill(session, organization_id)
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    other = organization(name="Globex")

    request_id = erased(tenant, None)

    left: dict[str, int] = {}
    with tenant_session(database, organization_id) as session:
        for table in load_tables().sorted_tables:
            count = session.scalar(text(f"SELECT count(*) FROM {table.name}"))
            left |= {table.name: count} if count else {}
        assert set(left) == {"organizations", "audit_log", "audit_heads", "audit_details", "privacy_requests"}
        assert left["audit_details"] <= 3, "of the proof alone"
        row = session.execute(text("SELECT name, status, deleted_at FROM organizations")).one()
        assert (row.name, row.status) == ("erased", "inactive")
        request = session.get_one(PrivacyRequest, (organization_id, request_id))
        assert request.state == RequestState.SUCCEEDED
        assert session.scalar(text("SELECT app.first_broken_audit()")) is None
    assert load_tenant(database, organization_id) is None
    assert load_tenant(database, other.organization_id) is not None
    assert set(left) - KEPT == {"privacy_requests"}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT app.scrub_table('leads', '.', 'a^', '{request}')",
        "SELECT * FROM app.forget_rows('leads', ARRAY['{request}']::uuid[], '{request}')",
        "SELECT app.forget_audit(NULL, '{request}')",
        "SELECT app.empty_table('leads', '{request}', '{request}')",
    ],
)
def test_without_an_erasure_that_runs_nothing_is_forgotten(
    acme: Tenant, database: Database, ask: Callable[..., UUID], statement: str
) -> None:
    waiting = ask(acme, RequestKind.EXPORT, None)
    for request in (uuid7(), waiting):
        with (
            tenant_session(database, acme.organization_id) as session,
            pytest.raises(Exception, match="no such erasure runs"),
        ):
            session.execute(text(statement.format(request=request)))
