"""A model is trained from a tenant's own leads, kept with its card, and used only where the plan has it."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, select, update
from uuid_utils.compat import uuid7

from models.lead import Lead
from models.organization import Organization, Tenant
from models.scoring import LeadModel
from models.session import Database, tenant_session
from tasks.lead_scoring.job import score
from tasks.lead_scoring.prediction.validation import auc
from tasks.lead_scoring.training import train_model
from tasks.payloads import ScoreLeads, TrainModel
from worker.context import Completion, PermanentJobError

Run = Callable[..., Completion]
Organize = Callable[..., Tenant]

NOT_A_FIELD = {"Prospect ID", "Lead Number", "Converted", "Lead Source"}


def import_leads(database: Database, tenant: Tenant, rows: list[dict[str, Any]]) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(
            insert(Lead),
            [{"organization_id": tenant.organization_id, "id": uuid7()} | row for row in rows],
        )


def outcome(converted: bool) -> dict[str, Any]:  # noqa: FBT001 - it is the datum
    return {"converted": converted, "status": "converted" if converted else "lost"}


def real_leads(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            outcome(row["Converted"] == "1")
            | {
                "source": row["Lead Source"],
                "attributes": {
                    name: value
                    for name, value in row.items()
                    if name not in NOT_A_FIELD and value not in ("", "Select")
                },
            }
            for row in csv.DictReader(file)
        ]


def test_real_leads_train_a_model_whose_scores_rank_them(
    database: Database, organization: Organize, run: Run, shared_data: Path
) -> None:
    tenant = organization()
    import_leads(database, tenant, real_leads(shared_data / "leads_x_education.csv"))
    result = run(tenant, train_model, TrainModel()).result
    assert result["trained"], result
    assert result["card"]["auc"] >= 0.885
    assert result["card"]["calibration_error"] < 0.03
    assert set(result["card"]["refused"]) == {
        "Tags",
        "Lead Quality",
        "Lead Profile",
        "Last Notable Activity",
        "Asymmetrique Activity Index",
        "Asymmetrique Activity Score",
        "Asymmetrique Profile Index",
        "Asymmetrique Profile Score",
    }
    for _ in range(2):
        assert run(tenant, score, ScoreLeads(all=True)).result["model_version"] == 1
    with tenant_session(database, tenant.organization_id) as session:
        rows = session.execute(select(Lead.converted, Lead.score, Lead.reasons)).all()
    assert all(sum(reason["points"] for reason in row.reasons) == row.score for row in rows)
    labels = np.array([float(row.converted) for row in rows])
    assert auc(labels, np.array([row.score for row in rows])) >= 0.885


def some_leads(count: int) -> list[dict[str, Any]]:
    return [
        outcome(number % 3 == 0) | {"attributes": {"visits": number % 3 + number % 2, "pages": number % 5}}
        for number in range(count)
    ]


def test_too_few_leads_leave_scoring_to_the_rules_and_say_so(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    import_leads(database, tenant, some_leads(40))
    result = run(tenant, train_model, TrainModel()).result
    assert (result["trained"], "needs 50" in result["reason"]) == (False, True)
    assert "model_version" not in run(tenant, score, ScoreLeads(all=True)).result


def test_a_plan_without_the_feature_neither_trains_nor_uses_a_model(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization(plan="professional")
    import_leads(database, tenant, some_leads(300))
    assert run(tenant, train_model, TrainModel()).result["trained"]
    assert run(tenant, score, ScoreLeads(all=True)).result["model_version"] == 1
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(Organization).values(plan="starter"))
    assert "model_version" not in run(tenant, score, ScoreLeads(all=True)).result
    with pytest.raises(PermanentJobError, match="predictive_scoring"):
        run(tenant, train_model, TrainModel())


def test_a_second_training_makes_the_next_version(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    import_leads(database, tenant, some_leads(300))
    assert [run(tenant, train_model, TrainModel()).result["version"] for _ in range(2)] == [1, 2]
    with tenant_session(database, tenant.organization_id) as session:
        kept = session.scalars(select(LeadModel.model).order_by(LeadModel.version)).all()
    assert [model["version"] for model in kept] == [1, 2]


def test_a_model_learns_from_its_own_tenant_only(
    database: Database, organization: Organize, run: Run
) -> None:
    mine, theirs = organization(), organization()
    import_leads(database, theirs, some_leads(300))
    assert "0 converted and 0 lost" in run(mine, train_model, TrainModel()).result["reason"]
