"""Single leads: changed, removed, restored, many at once; each change has them scored again."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, select

from models.lead import Lead
from models.organization import Tenant
from models.scoring import LeadChange
from models.session import Database, tenant_session
from tests.integration.intake.problems import fields, refused
from tests.integration.intake.resources.conftest import at_once

Headers = dict[str, str]
LEADS = "/api/v1/leads"


@pytest.fixture
def imported(client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database) -> list[str]:
    """Ids of twelve leads that wait for no scoring."""
    body = {"leads": [{"external_id": str(n), "email": f"l{n}@example.org"} for n in range(12)]}
    assert client.post(f"{LEADS}/import", json=body, headers=as_acme).status_code == 200
    with tenant_session(database, acme.organization_id) as session:
        session.execute(delete(LeadChange))
        return [str(item) for item in session.scalars(select(Lead.id).order_by(Lead.external_id))]


@pytest.fixture
def marked(database: Database, acme: Tenant) -> Callable[[], set[str]]:
    def read() -> set[str]:
        with tenant_session(database, acme.organization_id) as session:
            return {str(item) for item in session.scalars(select(LeadChange.lead_id))}

    return read


def test_a_lead_is_changed_and_scored_again(
    client: httpx.Client,
    as_acme: Headers,
    as_globex: Headers,
    imported: list[str],
    marked: Callable[[], set[str]],
    database: Database,
    acme: Tenant,
) -> None:
    path = f"{LEADS}/{imported[0]}"
    tag = client.get(path, headers=as_acme).headers["etag"]
    change: dict[str, Any] = {"email": "New@Example.org", "status": "qualified", "attributes": {"seats": 5}}
    changed = client.patch(path, json=change, headers=as_acme | {"If-Match": tag})
    assert changed.json().items() >= change.items()
    assert marked() == {imported[0]}
    with tenant_session(database, acme.organization_id) as session:
        assert session.scalars(select(Lead.id).where(Lead.email_norm == "new@example.org")).one()
    assert fields(refused(client.patch(path, json={}, headers=as_acme | {"If-Match": tag}), 412)) == [
        (None, "If-Match")
    ]
    for field in ("score", "external_id", "email_norm", "grade", "fit", "organization_id", "id"):
        assert fields(refused(client.patch(path, json={field: 1}, headers=as_acme), 422)) == [(None, field)]
    for method, where in (("GET", path), ("PATCH", path), ("DELETE", path), ("POST", f"{path}/restore")):
        refused(client.request(method, where, json={}, headers=as_globex), 404)


def test_leads_are_removed_and_restored_together(
    client: httpx.Client, as_acme: Headers, imported: list[str], marked: Callable[[], set[str]]
) -> None:
    gone = imported[:5]
    answer = client.post(f"{LEADS}/bulk", json={"delete": [{"id": each} for each in gone]}, headers=as_acme)
    assert answer.json()["refused"] == 0
    listed = client.get(LEADS, headers=as_acme).json()["items"]
    assert {lead["id"] for lead in listed} == set(imported[5:])
    back = {"restore": gone[:3], "change": [{"id": imported[9], "set": {"source": "fair"}}]}
    assert client.post(f"{LEADS}/bulk", json=back, headers=as_acme).status_code == 200
    listed = client.get(LEADS, headers=as_acme).json()["items"]
    assert {lead["id"] for lead in listed} == set(imported[5:]) | set(gone[:3])
    assert marked() == {*gone, imported[9]}


def test_imports_and_changes_of_the_same_leads_never_block_each_other(
    client: httpx.Client, as_acme: Headers, imported: list[str]
) -> None:
    rows = [{"external_id": str(n), "source": "import"} for n in range(12)]
    edits = [{"id": each, "set": {"source": "edit"}} for each in imported]

    def send(path: str, body: dict[str, Any]) -> Callable[[], httpx.Response]:
        return lambda: client.post(f"{LEADS}/{path}", json=body, headers=as_acme)

    acts = [send("import", {"leads": rows[::-1]}), send("bulk", {"change": edits})]
    acts += [send("import", {"leads": rows}), send("bulk", {"change": edits[::-1]})]
    assert [answer.status_code for answer in at_once(acts)] == [200] * 4
