"""Leads as a CSV file, a page at a time: no transaction stands while a slow client reads."""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, func, select

from intake.ingest.lead_file import GUARD, OURS, RISKY
from models.lead import Lead, LeadStatus
from models.session import Database, tenant_session

PAGE = 2_000
KEPT = (
    "external_id",
    "email",
    "first_name",
    "last_name",
    "company",
    "job_title",
    "phone",
    "source",
    "status",
    "campaign_id",
    "converted",
    "converted_at",
)
"""Columns that an import of the file would read back."""
SCORED = ("id", "score", "grade", "bucket", "fit", "engagement", "last_scored_at", "created_at")
"""Columns that an import would leave alone."""


def lead_lines(  # noqa: PLR0913 - who asks is apart from what is asked
    database: Database,
    organization_id: UUID,
    *,
    status: LeadStatus | None,
    bucket: str | None,
    attributes: Sequence[str],
    actor: str,
) -> Iterator[str]:
    """Yield the file, a page of leads in the order of ids at a time.

    Args:
        database: Each page is a transaction of its own.
        organization_id: Whose leads.
        status: Only leads of this status.
        bucket: Only leads in this bucket.
        actor: Who asks, for the audit log.
        attributes: Those that get a column of their own; without any, all go into one as JSON.
    """
    ours = [f"{OURS}{name}" for name in (*SCORED, "reasons")]
    with tenant_session(database, organization_id, actor=actor) as session:
        session.execute(select(func.app.audit("leads.export")))
    yield _lines([[*KEPT, *(attributes or ("attributes",)), *ours]])
    after: UUID | None = None
    while True:
        page = _page(database, organization_id, status=status, bucket=bucket, after=after)
        if page:
            yield _lines([_cells(row, attributes) for row in page])
        if len(page) < PAGE:
            return
        after = page[-1].id


def _page(
    database: Database,
    organization_id: UUID,
    *,
    status: LeadStatus | None,
    bucket: str | None,
    after: UUID | None,
) -> Sequence[Row[Any]]:
    query = select(*(getattr(Lead, name) for name in (*KEPT, *SCORED, "attributes", "reasons")))
    if status is not None:
        query = query.where(Lead.status == status)
    if bucket is not None:
        query = query.where(Lead.bucket == bucket)
    if after is not None:
        query = query.where(Lead.id > after)
    with tenant_session(database, organization_id) as session:
        return session.execute(query.order_by(Lead.id).limit(PAGE)).all()


def _cells(row: Row[Any], attributes: Sequence[str]) -> list[str]:
    kept = [getattr(row, name) for name in KEPT]
    known: dict[str, Any] = row.attributes
    own = [known.get(name) for name in attributes] or [orjson.dumps(known).decode() if known else None]
    reasons = "; ".join(f"{reason['label']} {reason['points']:+}" for reason in row.reasons)
    scored = [getattr(row, name) for name in SCORED]
    return [cell(value) for value in (*kept, *own, *scored, reasons)]


def cell(value: Any) -> str:
    """Return a value as text that no spreadsheet takes for a formula."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float() | int():
            return str(int(value) if value == int(value) else value)
        case _:
            text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return GUARD + text if text.startswith(RISKY) else text


def _lines(rows: Sequence[Sequence[str]]) -> str:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
