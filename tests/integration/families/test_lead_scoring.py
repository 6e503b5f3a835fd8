"""Scoring reads a batch of leads and writes it back, on real Postgres as the application role."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from models.lead import Lead, LeadEvent
from models.organization import Organization, Tenant
from models.scoring import LeadRuleSet
from models.session import Database, tenant_session
from tasks.lead_scoring.job import score
from tasks.payloads import ScoreLeads
from tasks.scoring_defaults import DEFAULT_RULES
from worker.context import Completion, PermanentJobError

Run = Callable[..., Completion]


def add_leads(database: Database, tenant: Tenant, leads: list[dict[str, Any]]) -> list[UUID]:
    rows = [Lead(organization_id=tenant.organization_id, id=uuid7(), **lead) for lead in leads]
    with tenant_session(database, tenant.organization_id) as session:
        session.add_all(rows)
    return [row.id for row in rows]


def add_events(
    database: Database, tenant: Tenant, events: list[tuple[UUID, str, datetime, float | None]]
) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        session.add_all(
            LeadEvent(
                organization_id=tenant.organization_id, lead_id=lead, name=name, occurred_at=at, points=points
            )
            for lead, name, at, points in events
        )


def read(database: Database, tenant: Tenant) -> dict[UUID, Lead]:
    with tenant_session(database, tenant.organization_id) as session:
        return {lead.id: lead for lead in session.execute(select(Lead)).scalars()}


def test_a_batch_is_scored_with_reasons_that_sum(
    database: Database, organization: Callable[..., Tenant], run: Run
) -> None:
    tenant, now = organization(), datetime.now(UTC)
    strong, weak, quiet = add_leads(
        database,
        tenant,
        [
            {"company": "Acme", "phone": "1", "job_title": "Head of Sales", "source": "Referral"},
            {"email": "x@gmail.com", "attributes": {"do_not_email": "Yes"}},
            {"attributes": {"seconds_on_site": 900, "occupation": "Working Professional"}},
        ],
    )
    add_events(
        database,
        tenant,
        [
            (strong, "demo_requested", now, None),
            (strong, "never heard of", now, None),
            (strong, "webinar", now, 7.0),
            (weak, "email_opened", now - timedelta(days=7), None),
        ],
    )
    completion = run(tenant, score, ScoreLeads(lead_ids=(strong, weak, quiet, uuid7())))
    leads = read(database, tenant)
    assert completion.quantity == 3
    assert completion.result["missing"] == 1
    assert completion.result["top"][0]["lead_id"] == str(strong)
    assert leads[strong].score == 5 + 10 + 15 + 10 + 30 + 7
    assert (leads[strong].grade, leads[strong].bucket) == ("A1", "hot")
    assert leads[weak].score == 0
    assert leads[quiet].score == 35
    for lead in leads.values():
        assert sum(reason["points"] for reason in lead.reasons) == lead.score
        assert lead.last_scored_at is not None
        assert lead.rules_version == DEFAULT_RULES.version


def test_a_batch_is_written_with_one_statement(
    database: Database, organization: Callable[..., Tenant], run: Run
) -> None:
    tenant = organization()
    add_leads(database, tenant, [{"company": "Acme"} for _ in range(50)])
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    run(tenant, score, ScoreLeads(all=True))
    assert sum("write_lead_scores" in statement for statement in statements) == 1
    assert len(statements) <= 4


def test_all_takes_the_stalest_leads_first(
    database: Database, organization: Callable[..., Tenant], run: Run
) -> None:
    tenant = organization()
    add_leads(database, tenant, [{"company": "Acme"} for _ in range(5)])
    sizes = [run(tenant, score, ScoreLeads(all=True, limit=2)).quantity for _ in range(3)]
    assert sizes == [2, 2, 2]
    assert all(lead.last_scored_at is not None for lead in read(database, tenant).values())


def test_a_deleted_lead_is_not_scored(
    database: Database, organization: Callable[..., Tenant], run: Run
) -> None:
    tenant = organization()
    (deleted,) = add_leads(database, tenant, [{"company": "Acme", "deleted_at": datetime.now(UTC)}])
    assert run(tenant, score, ScoreLeads(lead_ids=(deleted,))).quantity == 0


def test_another_tenants_leads_are_missing_and_untouched(
    database: Database, organization: Callable[..., Tenant], run: Run
) -> None:
    mine, theirs = organization(), organization()
    (foreign,) = add_leads(database, theirs, [{"company": "Acme"}])
    assert run(mine, score, ScoreLeads(lead_ids=(foreign,))).result["missing"] == 1
    assert read(database, theirs)[foreign].last_scored_at is None


def set_rules(database: Database, tenant: Tenant, version: int, rules: Any) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        session.add(LeadRuleSet(organization_id=tenant.organization_id, version=version, rules=rules))


def test_an_organizations_own_rules_are_used(
    database: Database, organization: Callable[..., Tenant], run: Run
) -> None:
    tenant = organization()
    (lead,) = add_leads(database, tenant, [{"attributes": {"city": "Mumbai"}}])
    rule = {"key": "c", "label": "c", "points": 12, "field": "city", "operator": "is", "values": ["mumbai"]}
    set_rules(database, tenant, 6, {"fit": []})
    set_rules(database, tenant, 7, {"fit": [rule]})
    run(tenant, score, ScoreLeads(lead_ids=(lead,)))
    row = read(database, tenant)[lead]
    assert (row.score, row.rules_version) == (12, 7)


def test_broken_rules_fail_the_job_for_good_and_name_the_problem(
    database: Database, organization: Callable[..., Tenant], run: Run
) -> None:
    tenant = organization()
    set_rules(database, tenant, 1, {"fit": [{"key": "c"}]})
    with pytest.raises(PermanentJobError, match=r"fit\.0\.label"):
        run(tenant, score, ScoreLeads(all=True))


def test_the_daily_cap_counts_in_the_organizations_own_days(
    database: Database, organization: Callable[..., Tenant], run: Run
) -> None:
    tenant = organization()
    (lead,) = add_leads(database, tenant, [{}])
    # One day in UTC; in Kathmandu, 5:45 ahead, midnight falls between the second and the third.
    yesterday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    moments = [yesterday + timedelta(hours=hour) for hour in (16, 17, 20, 21)]
    add_events(database, tenant, [(lead, "pricing_viewed", at, None) for at in moments])
    run(tenant, score, ScoreLeads(lead_ids=(lead,)))
    in_utc = read(database, tenant)[lead].engagement
    with tenant_session(database, tenant.organization_id) as session:
        move_to(session, "Asia/Kathmandu")
    run(tenant, score, ScoreLeads(lead_ids=(lead,)))
    in_kathmandu = read(database, tenant)[lead].engagement
    assert 15 < in_utc <= 20
    assert 30 < in_kathmandu <= 40


def move_to(session: Session, time_zone: str) -> None:
    session.execute(select(Organization)).scalar_one().time_zone = time_zone
