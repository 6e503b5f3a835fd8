"""Leads come in as CSV, whole or not at all, and go out as CSV that no spreadsheet runs."""

import csv
import io
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from config.settings import Settings
from models.audit import AuditEntry
from models.lead import Lead
from models.organization import Tenant
from models.scoring import LeadChange
from models.session import Database, tenant_session
from tests.integration.intake.problems import refused

Headers = dict[str, str]
IMPORT = "/api/v1/leads/import.csv"


def send(client: httpx.Client, headers: Headers, text: str | bytes, **query: Any) -> httpx.Response:
    content = text.encode() if isinstance(text, str) else text
    return client.post(IMPORT, content=content, params=query, headers=headers | {"content-type": "text/csv"})


def stored(database: Database, tenant: Tenant) -> dict[str | None, Lead]:
    with tenant_session(database, tenant.organization_id) as session:
        return {lead.external_id: lead for lead in session.scalars(select(Lead))}


def test_a_file_becomes_leads_and_the_answer_says_what_became_of_each_column(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    text = (
        "\ufeffCustomer,email,Won,city,Internal\r\n"
        '7,ann@example.com,Yes,"Pune, ""old"" town",x\r\n'
        "8,,no,-,y\r\n"
        "\r\n"
        '9,bob@example.com,,"two\nlines",z\r\n'
    )
    answer = send(
        client, as_acme, text, external_id="Customer", converted="Won", ignore="Internal", empty="-"
    )
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "created": 3,
        "updated": 0,
        "columns": {
            "Customer": "external_id",
            "email": "email",
            "Won": "converted",
            "city": "attribute",
            "Internal": "ignored",
        },
    }
    leads = stored(database, acme)
    assert (leads["7"].email, leads["7"].converted) == ("ann@example.com", True)
    assert leads["7"].attributes == {"city": 'Pune, "old" town'}
    assert (leads["8"].email, leads["8"].attributes, leads["8"].status) == (None, {}, "new")
    assert leads["9"].attributes == {"city": "two\nlines"}
    with tenant_session(database, acme.organization_id) as session:
        assert session.scalars(select(func.count()).select_from(LeadChange)).one() == 3


@pytest.mark.parametrize(
    ("text", "query", "line", "column", "message"),
    [
        ("", {}, 1, None, "empty"),
        ("email\na@b", {}, 1, None, "no column 'external_id'"),
        ("external_id\n1", {"email": "Mail"}, 1, None, "no column 'Mail' for email"),
        ("external_id,a,a\n1,2,3", {}, 1, "a", "two columns"),
        ("external_id,\n1,2", {}, 1, None, "header 2"),
        ("external_id,a\n1,2\n2,3,4", {}, 3, None, "has 3 cells"),
        ('external_id,a\n1,"x\ny"\n2,"open', {}, 4, None, "cannot be read as CSV"),
        ('external_id,a\n1,"x\ny"\n,b', {}, 4, "external_id", "is required"),
        ("external_id,email\n1,nobody", {}, 2, "email", "e-mail address"),
        ("Id,email\n1,a@b\n1,c@d", {"external_id": "Id"}, 3, "Id", "stands on line 2"),
        ("external_id,converted\n1,perhaps", {}, 2, "converted", "must be true"),
        ("external_id,converted_at\n1,yesterday", {}, 2, "converted_at", "date and time"),
        ("external_id,status\n1,rich", {}, 2, "status", "new"),
        ("external_id,attributes\n1,[]", {}, 2, "attributes", "JSON object"),
        ("external_id,a\n1," + "x" * 4001, {}, 2, "a", "4000 characters"),
        (b"external_id,a\n1,\xff", {}, 2, None, "UTF-8"),
        ("external_id," + ",".join(f"a{n}" for n in range(201)) + "\n", {}, 1, None, "200 columns"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_wrong_is_named_by_line_and_column_and_nothing_is_imported(
    client: httpx.Client,
    as_acme: Headers,
    text: str | bytes,
    query: dict[str, str],
    line: int,
    column: str | None,
    message: str,
) -> None:
    document = refused(send(client, as_acme, text, **query), 422)
    assert document["type"].endswith("invalid-file")
    first = document["errors"][0]
    assert (first["line"], first["column"]) == (line, column), document
    assert message in first["message"]
    assert client.get("/api/v1/leads", headers=as_acme).json()["items"] == []


def test_an_error_on_the_last_line_undoes_what_was_written_before_it(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    rows = "".join(f"{n},{n}@example.com\n" for n in range(5_000))
    refused(send(client, as_acme, f"external_id,email\n{rows}5000,nobody"), 422)
    assert stored(database, acme) == {}
    with tenant_session(database, acme.organization_id) as session:
        assert session.scalars(select(func.count()).select_from(LeadChange)).one() == 0


def test_a_file_that_is_wrong_throughout_stops_at_a_hundred_errors(
    client: httpx.Client, as_acme: Headers
) -> None:
    document = refused(send(client, as_acme, "external_id,email\n" + "x,nobody\n" * 500), 422)
    assert len(document["errors"]) == 100
    assert "or more" in document["error"]


def test_a_file_may_be_larger_than_other_bodies_and_not_larger_than_its_own_limit(
    client: httpx.Client, as_acme: Headers, settings: Settings
) -> None:
    row = "y" * 3_000
    large = "external_id,a\n" + "".join(f"{n},{row}\n" for n in range(1_500))
    assert len(large) > settings.max_body_bytes
    assert send(client, as_acme, large).json()["created"] == 1_500
    too_large = b"x" * (settings.max_import_bytes + 1)
    refused(send(client, as_acme, too_large), 413)


def test_a_viewer_may_neither_import_nor_export(
    client: httpx.Client, acme: Tenant, sign: Callable[..., Headers]
) -> None:
    refused(send(client, sign(acme, role="viewer"), "external_id\n1"), 403)
    refused(client.get("/api/v1/leads/export.csv", headers=sign(acme, role="viewer")), 403)


def test_what_goes_out_comes_in_again_and_is_no_formula_on_the_way(
    client: httpx.Client,
    as_acme: Headers,
    acme: Tenant,
    as_globex: Headers,
    globex: Tenant,
    database: Database,
) -> None:
    leads = [
        {
            "external_id": f"lead-{n}",
            "email": f"{n}@example.com",
            "company": '=HYPERLINK("http://evil.example")',
            "phone": "+49 30 1234",
            "converted": n == 2,
            "attributes": {"note": "@SUM(1)", "visits": 3, "vip": True},
        }
        for n in range(3)
    ]
    client.post("/api/v1/leads/import", json={"leads": leads}, headers=as_acme)
    answer = client.get("/api/v1/leads/export.csv", headers=as_acme)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["external_id"] for row in rows] == ["lead-0", "lead-1", "lead-2"]
    assert rows[0]["company"] == '\'=HYPERLINK("http://evil.example")'
    assert rows[0]["phone"] == "'+49 30 1234"
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())

    assert send(client, as_globex, answer.text).json()["created"] == 3
    ours, theirs = stored(database, acme), stored(database, globex)
    for external_id, lead in ours.items():
        for name in ("email", "company", "phone", "converted", "status", "attributes"):
            assert getattr(theirs[external_id], name) == getattr(lead, name), name


def test_attributes_asked_for_get_their_own_columns_and_leads_can_be_chosen(
    client: httpx.Client, as_acme: Headers
) -> None:
    text = "external_id,status,city\n1,lost,=cmd\n2,new,Pune\n"
    send(client, as_acme, text)
    answer = client.get(
        "/api/v1/leads/export.csv", params={"attribute": "city", "status": "lost"}, headers=as_acme
    )
    [row] = csv.DictReader(io.StringIO(answer.text))
    assert (row["external_id"], row["city"], row["genius_score"]) == ("1", "'=cmd", "0")
    assert "attributes" not in row


def test_a_long_export_has_each_lead_once_and_is_audited(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    send(client, as_acme, "external_id\n" + "".join(f"{n}\n" for n in range(4_001)))
    text = client.get("/api/v1/leads/export.csv", headers=as_acme).text
    assert len({row["external_id"] for row in csv.DictReader(io.StringIO(text))}) == 4_001
    assert text.count("\r\n") == 4_002
    with tenant_session(database, acme.organization_id) as session:
        assert "leads.export" in session.scalars(select(AuditEntry.action)).all()
