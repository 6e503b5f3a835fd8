"""A model is trained from a tenant's own leads, kept with its card, and used only where the plan has it."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from uuid_utils.compat import uuid7

from models.lead import Lead
from models.organization import Organization, Tenant
from models.scoring import LeadModel
from models.session import Database, tenant_session
from tasks.lead_scoring.job import score
from tasks.lead_scoring.training import train_model
from tasks.payloads import ScoreLeads, TrainModel
from worker.context import Completion, LeaseLostError, PermanentJobError

Run = Callable[..., Completion]
Organize = Callable[..., Tenant]


def import_leads(database: Database, tenant: Tenant, rows: list[dict[str, Any]]) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(
            insert(Lead),
            [{"organization_id": tenant.organization_id, "id": uuid7()} | row for row in rows],
        )


def outcome(converted: bool) -> dict[str, Any]:  # noqa: FBT001 - it is the datum
    return {"converted": converted, "status": "converted" if converted else "lost"}


def some_leads(count: int) -> list[dict[str, Any]]:
    return [
        outcome(number % 3 == 0) | {"attributes": {"visits": number % 3 + number % 2, "pages": number % 5}}
        for number in range(count)
    ]


def test_too_few_leads_leave_scoring_to_the_rules_and_say_so(
    database: Database, organization: Organize, run: Run, run_outside: Run
) -> None:
    tenant = organization()
    import_leads(database, tenant, some_leads(40))
    result = run_outside(tenant, train_model, TrainModel()).result
    assert (result["trained"], "needs 50" in result["reason"]) == (False, True)
    assert "model_version" not in run(tenant, score, ScoreLeads(all=True)).result


def test_a_plan_without_the_feature_neither_trains_nor_uses_a_model(
    database: Database, organization: Organize, run: Run, run_outside: Run
) -> None:
    tenant = organization(plan="professional")
    import_leads(database, tenant, some_leads(300))
    assert run_outside(tenant, train_model, TrainModel()).result["trained"]
    assert run(tenant, score, ScoreLeads(all=True)).result["model_version"] == 1
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(Organization).values(plan="starter"))
    assert "model_version" not in run(tenant, score, ScoreLeads(all=True)).result
    with pytest.raises(
        PermanentJobError, match=r"predictive_scoring is not in plan starter\. Upgrade to professional"
    ):
        run_outside(tenant, train_model, TrainModel())


def test_a_second_training_makes_the_next_version(
    database: Database, organization: Organize, run_outside: Run
) -> None:
    tenant = organization()
    import_leads(database, tenant, some_leads(300))
    assert [run_outside(tenant, train_model, TrainModel()).result["version"] for _ in range(2)] == [1, 2]
    with tenant_session(database, tenant.organization_id) as session:
        kept = session.scalars(select(LeadModel.model).order_by(LeadModel.version)).all()
    assert [model["version"] for model in kept] == [1, 2]


def test_a_model_learns_from_its_own_tenant_only(
    database: Database, organization: Organize, run_outside: Run
) -> None:
    mine, theirs = organization(), organization()
    import_leads(database, theirs, some_leads(300))
    assert "0 converted and 0 lost" in run_outside(mine, train_model, TrainModel()).result["reason"]


def test_a_training_that_runs_twice_makes_one_model(
    database: Database, organization: Organize, run_outside: Run
) -> None:
    tenant, job_id = organization(), uuid7()
    import_leads(database, tenant, some_leads(300))
    versions = [run_outside(tenant, train_model, TrainModel(), job_id=job_id).result["version"] for _ in "ab"]
    assert versions == [1, 1]


def test_a_lease_that_was_lost_while_it_learned_leaves_no_model(
    database: Database, organization: Organize, run_outside: Run
) -> None:
    tenant = organization()
    import_leads(database, tenant, some_leads(300))

    def lost() -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        run_outside(tenant, train_model, TrainModel(), check=lost)
    with tenant_session(database, tenant.organization_id) as session:
        assert session.scalars(select(LeadModel)).all() == []


def test_an_override_gives_a_plan_prediction(
    database: Database, organization: Organize, run: Run, run_outside: Run
) -> None:
    tenant = organization(plan="starter")
    import_leads(database, tenant, some_leads(300))
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(Organization).values(plan_overrides={"features": ["predictive_scoring"]}))
    assert run_outside(tenant, train_model, TrainModel()).result["trained"]
    assert run(tenant, score, ScoreLeads(all=True)).result["model_version"] == 1


def test_a_retired_model_has_no_say_and_its_number_is_not_given_again(
    database: Database, organization: Organize, run: Run, run_outside: Run
) -> None:
    tenant = organization()
    import_leads(database, tenant, some_leads(300))
    assert run_outside(tenant, train_model, TrainModel()).result["version"] == 1
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(LeadModel).values(retired_at=func.now()))
    assert "model_version" not in run(tenant, score, ScoreLeads(all=True)).result
    assert run_outside(tenant, train_model, TrainModel()).result["version"] == 2
