"""Leads are scored again where they changed, or all of them, in bounded jobs; rules are tried out unseen."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update
from uuid_utils.compat import uuid7

from intake.ingest.lead import (
    LeadBody,
    LeadEventBody,
    LeadEventImport,
    LeadImport,
    import_leads,
    record_events,
)
from models.job import Job, OutboxRow
from models.lead import Lead, LeadEvent
from models.organization import Organization, Tenant
from models.scoring import LeadChange, LeadRuleSet
from models.session import Database, tenant_session
from models.usage import QuotaReservation
from tasks.lead_scoring.job import score
from tasks.lead_scoring.rescore import rescore, split_all
from tasks.lead_scoring.try_rules import try_rules
from tasks.payloads import ScoreLeads
from tasks.scoring_defaults import DEFAULT_RULES
from tasks.scoring_payloads import RescoreLeads, TryRules
from tasks.scoring_rules import FieldRule, Operator, Rules
from worker.context import Completion, PermanentJobError

Run = Callable[..., Completion]
Organize = Callable[..., Tenant]


def give_leads(database: Database, tenant: Tenant, count: int, **fields: Any) -> None:
    body = LeadImport(leads=tuple(LeadBody(external_id=str(n), **fields) for n in range(count)))
    with tenant_session(database, tenant.organization_id) as session:
        import_leads(session, tenant.organization_id, body)


def marks(database: Database, tenant: Tenant) -> set[str | None]:
    with tenant_session(database, tenant.organization_id) as session:
        changed = select(LeadChange.lead_id)
        return set(session.scalars(select(Lead.external_id).where(Lead.id.in_(changed))))


def leads_of(database: Database, tenant: Tenant) -> dict[str | None, Lead]:
    with tenant_session(database, tenant.organization_id) as session:
        return {lead.external_id: lead for lead in session.scalars(select(Lead))}


def payloads(database: Database, tenant: Tenant) -> list[ScoreLeads]:
    with tenant_session(database, tenant.organization_id) as session:
        stored = session.scalars(select(Job.payload).order_by(Job.id)).all()
    return [ScoreLeads.model_validate(payload) for payload in stored]


def test_what_changed_is_scored_and_nothing_else(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    give_leads(database, tenant, 4, company="Acme")
    assert run(tenant, score, ScoreLeads(changed=True)).result["scored"] == 4
    assert marks(database, tenant) == set()
    give_leads(database, tenant, 1, phone="1")
    event = LeadEventBody(lead="2", name="demo_requested", occurred_at=datetime.now(UTC), external_id="e")
    for _ in range(2):
        with tenant_session(database, tenant.organization_id) as session:
            record_events(session, tenant.organization_id, LeadEventImport(events=(event,)))
    assert marks(database, tenant) == {"0", "2"}
    result = run(tenant, score, ScoreLeads(changed=True)).result
    assert (result["scored"], result["written"]) == (2, 2)
    scores = {name: lead.score for name, lead in leads_of(database, tenant).items()}
    assert scores == {"0": 15, "1": 10, "2": 40, "3": 10}
    with tenant_session(database, tenant.organization_id) as session:
        record_events(session, tenant.organization_id, LeadEventImport(events=(event,)))
    assert marks(database, tenant) == set()


def test_a_change_that_commits_after_the_scoring_began_is_not_lost(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    give_leads(database, tenant, 2, company="Acme")
    body = LeadImport(leads=(LeadBody(external_id="0", phone="1"),))
    with tenant_session(database, tenant.organization_id) as session:
        import_leads(session, tenant.organization_id, body)
        session.flush()
        assert run(tenant, score, ScoreLeads(changed=True)).result["scored"] == 1
    assert marks(database, tenant) == {"0"}
    assert run(tenant, score, ScoreLeads(changed=True)).result["scored"] == 1
    assert leads_of(database, tenant)["0"].score == 15


def test_a_scoring_that_rolls_back_leaves_the_marks(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    give_leads(database, tenant, 2)

    def fails(job: Any, payload: ScoreLeads) -> Completion:
        score(job, payload)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run(tenant, fails, ScoreLeads(changed=True))
    assert marks(database, tenant) == {"0", "1"}


def test_a_lead_whose_score_stays_is_not_written(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    give_leads(database, tenant, 3, company="Acme")
    [batch] = whole(database, tenant)
    assert run(tenant, score, batch).result["written"] == 3
    before = {name: lead.last_scored_at for name, lead in leads_of(database, tenant).items()}
    assert run(tenant, score, batch).result["written"] == 0
    assert {name: lead.last_scored_at for name, lead in leads_of(database, tenant).items()} == before
    # Taken by how long ago they were scored, leads that stay as they are must make way for the next.
    assert run(tenant, score, ScoreLeads(all=True, limit=2)).result["written"] == 2


def whole(database: Database, tenant: Tenant, *, size: int = 5_000) -> list[ScoreLeads]:
    with tenant_session(database, tenant.organization_id) as session:
        return split_all(session, tenant.organization_id, size=size)


@pytest.mark.parametrize("count", [0, 1, 3, 6, 7])
def test_all_leads_are_split_so_that_each_is_in_one_batch(
    database: Database, organization: Organize, run: Run, count: int
) -> None:
    tenant = organization()
    if count:
        give_leads(database, tenant, count)
    batches = whole(database, tenant, size=3)
    assert [batch.limit for batch in batches] == [3] * (count // 3) + [count % 3] * (count % 3 > 0)
    assert [run(tenant, score, batch).quantity for batch in batches] == [batch.limit for batch in batches]
    assert all(lead.last_scored_at for lead in leads_of(database, tenant).values())


def test_rescoring_records_the_jobs_with_their_quota_and_outbox_rows(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    give_leads(database, tenant, 3)
    result = run(tenant, rescore, RescoreLeads(which="all")).result
    assert (result["leads"], len(result["jobs"])) == (3, 1)
    assert [batch.limit for batch in payloads(database, tenant)] == [3]
    with tenant_session(database, tenant.organization_id) as session:
        meters = select(QuotaReservation.meter, QuotaReservation.quantity)
        assert dict(row for row in session.execute(meters)) == {"jobs_month": 1, "leads_scored_month": 3}
        assert session.scalars(select(func.count()).select_from(OutboxRow)).one() == 1
    assert run(tenant, rescore, RescoreLeads(which="changed")).result["leads"] == 3
    assert payloads(database, tenant)[-1] == ScoreLeads(changed=True, limit=3)


def test_nothing_is_recorded_when_the_quota_does_not_cover_all(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    limits = {"limits": {"leads_scored_month": {"amount": 2}}}
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(Organization).values(plan_overrides=limits))
    give_leads(database, tenant, 3)
    with pytest.raises(PermanentJobError, match="leads_scored_month"):
        run(tenant, rescore, RescoreLeads(which="all"))
    assert payloads(database, tenant) == []


def test_nothing_to_rescore_is_no_job(database: Database, organization: Organize, run: Run) -> None:
    for which in ("changed", "all"):
        assert run(organization(), rescore, RescoreLeads(which=which)).result == {"leads": 0, "jobs": []}


def test_rules_are_tried_without_writing_anything(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    give_leads(database, tenant, 3, company="Acme")
    give_leads(database, tenant, 1, phone="1")
    run(tenant, score, ScoreLeads(changed=True))
    rule = FieldRule(key="p", label="Phone", field="phone", operator=Operator.PRESENT, points=80)
    tried = TryRules(rules=Rules(fit=(rule,), fit_limit=80))
    before = {name: (lead.score, lead.reasons) for name, lead in leads_of(database, tenant).items()}
    report = run(tenant, try_rules, tried).result
    assert {name: (lead.score, lead.reasons) for name, lead in leads_of(database, tenant).items()} == before
    assert (report["leads"], report["changed"], report["up"], report["down"]) == (3, 3, 1, 2)
    assert report["buckets"] == {
        "before": {"cold": 3},
        "after": {"cold": 2, "hot": 1},
        "moves": {"cold > hot": 1},
    }
    assert report["grades"]["after"] == {"A3": 1, "C3": 2}
    best = report["movers"][0]
    assert (best["before"], best["after"], best["moved"]) == (15, 80, 65)
    assert sum(reason["points"] for reason in best["reasons_after"]) == 80
    assert UUID(best["lead_id"])
    with tenant_session(database, tenant.organization_id) as session:
        assert session.scalars(select(func.count()).select_from(LeadRuleSet)).one() == 0


def test_trying_the_rules_in_force_just_after_a_scoring_changes_nothing(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    give_leads(database, tenant, 7, company="Acme")
    run(tenant, score, ScoreLeads(changed=True))
    report = run(tenant, try_rules, TryRules(leads=5)).result
    assert (report["leads"], report["changed"], report["movers"]) == (5, 0, [])
    assert report["compared_with_version"] == DEFAULT_RULES.version


def test_a_large_batch_of_an_organization_without_statistics_takes_no_time(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization(plan="enterprise")
    give_leads(database, tenant, 5_000, company="Acme")
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(
            text("INSERT INTO lead_events (organization_id, lead_id, name, occurred_at)"
                 " SELECT organization_id, id, 'email_opened', now() - make_interval(days => n)"
                 " FROM leads, generate_series(1, 3) AS n")
        )  # fmt: skip

    def bounded(job: Any, payload: ScoreLeads) -> Completion:
        job.session.execute(text("SET LOCAL statement_timeout = '4s'"))
        return score(job, payload)

    for payload in (ScoreLeads(changed=True), ScoreLeads(all=True), *whole(database, tenant)):
        assert run(tenant, bounded, payload).quantity == 5_000
    for lead in leads_of(database, tenant).values():
        assert sum(reason["points"] for reason in lead.reasons) == lead.score > 10


def test_late_events_change_the_score_as_if_they_had_come_in_time(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    give_leads(database, tenant, 2)
    found = leads_of(database, tenant)
    now = datetime.now(UTC).replace(microsecond=0)
    moments = [now - timedelta(hours=hours) for hours in (1, 30, 31, 32, 33)]
    for name, order in (("0", moments), ("1", moments[::-1])):
        for at in order:
            with tenant_session(database, tenant.organization_id) as session:
                session.add(
                    LeadEvent(
                        organization_id=tenant.organization_id,
                        id=uuid7(),
                        lead_id=found[name].id,
                        name="pricing_viewed",
                        occurred_at=at,
                    )
                )
            run(tenant, score, ScoreLeads(all=True))
    scored = leads_of(database, tenant)
    assert scored["0"].score == scored["1"].score > 0
