"""Real leads, from the file to their scores: over HTTP, by jobs, with processes of their own."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import update

from config.settings import Settings
from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from ops.token import mint_token
from tasks.catalog import TRAIN_MODEL
from tasks.lead_scoring.prediction.validation import auc
from tasks.payloads import TrainModel
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.submit import Submission, submit

QUICK = {"GENIUS_RELAY_INTERVAL": "0.5"}

LEAKING = {
    "Tags",
    "Lead Quality",
    "Lead Profile",
    "Last Notable Activity",
    "Asymmetrique Activity Index",
    "Asymmetrique Activity Score",
    "Asymmetrique Profile Index",
    "Asymmetrique Profile Score",
}
"""Columns of the file that were written after the sale."""

COLUMNS = {
    "external_id": "Prospect ID",
    "source": "Lead Source",
    "converted": "Converted",
    "ignore": "Lead Number",
    "empty": "Select",
    "outcome_known": True,
}
"""Which column of the file is which field."""


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = client.get(f"/jobs/{job_id}").json()
        return job if job["state"] in {"succeeded", "dead", "cancelled"} else None

    return wait_until(look, timeout=120)


def run(client: httpx.Client, kind: str, **payload: Any) -> dict[str, Any]:
    """Have a job done and return its result."""
    accepted = client.post("/jobs", json={"kind": kind, "payload": payload})
    assert accepted.status_code == 202, accepted.text
    job = ended(client, accepted.json()["id"])
    assert job["state"] == "succeeded", job
    result: dict[str, Any] = job["result"]
    return result


def test_a_file_of_real_leads_is_imported_learned_from_and_scored(
    database: Database,
    organization: Callable[..., Tenant],
    services: Services,
    settings: Settings,
    shared_data: Path,
) -> None:
    tenant = organization()
    url = services.intake(QUICK).url
    services.worker(environment=QUICK)
    services.beat(QUICK)
    headers = {"Authorization": f"Bearer {mint_token(settings, tenant)}"}
    with httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=120) as client:
        file = (shared_data / "leads_x_education.csv").read_bytes()
        imported = client.post("/leads/import.csv", content=file, params=COLUMNS)
        assert imported.status_code == 200, imported.text
        assert (imported.json()["created"], imported.json()["updated"]) == (9_240, 0)

        trained = run(client, "leads.train_model")
        assert trained["trained"], trained
        card = client.get("/scoring/model").json()["in_use"]["card"]
        assert card == trained["card"]
        assert card["auc"] >= 0.885
        assert card["calibration_error"] < 0.03
        assert set(card["refused"]) == LEAKING
        assert not LEAKING & set(card["fields"])

        rescored = run(client, "leads.rescore", which="all")
        assert (rescored["leads"], len(rescored["jobs"])) == (9_240, 2)
        scored = [ended(client, job)["result"] for job in rescored["jobs"]]
        assert sum(one["scored"] for one in scored) == 9_240
        assert {one["model_version"] for one in scored} == {1}

        exported = client.get("/leads/export.csv", params={"attribute": ["City"]})
        rows = list(csv.DictReader(io.StringIO(exported.text)))
        assert len(rows) == 9_240
        for row in rows:
            points = [
                int(reason.rpartition(" ")[2]) for reason in row["genius_reasons"].split("; ") if reason
            ]
            assert sum(points) == float(row["genius_score"]), row
        labels = np.array([float(row["converted"] == "true") for row in rows])
        assert labels.sum() == 3_561
        assert auc(labels, np.array([float(row["genius_score"]) for row in rows])) >= 0.885


def test_a_plan_that_changes_before_the_job_runs_is_refused_in_the_worker(
    database: Database, organization: Callable[..., Tenant], services: Services, settings: Settings
) -> None:
    tenant = organization(plan="professional")
    [job] = submit(database, tenant, [Submission(TRAIN_MODEL, TrainModel())], publisher=Publisher(settings))
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(Organization).values(plan="starter"))
    url = services.intake(QUICK).url
    services.worker(environment=QUICK)
    headers = {"Authorization": f"Bearer {mint_token(settings, tenant)}"}
    with httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=20) as client:
        shown = ended(client, str(job.id))
    assert shown["state"] == "dead"
    assert "predictive_scoring is not in plan starter. Upgrade to professional" in shown["error"]["message"]
