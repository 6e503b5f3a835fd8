"""What a tenant sees of its reports."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, tuple_
from sqlalchemy.orm import Session

from intake.views.base import View
from models.report import Report, ReportGrain


class ReportView(View):
    """A snapshot, without its content."""

    id: UUID
    grain: ReportGrain
    first_day: date
    last_day: date
    """Inclusive, in `time_zone`."""
    time_zone: str
    revision: int
    """1 is the first report of its period; later ones were produced because its figures had changed."""
    shape_version: int
    """Version of the shape of the JSON document."""
    sha256: str
    """Of the JSON document's bytes."""
    produced_at: datetime
    job_id: UUID | None


Place = tuple[date, ReportGrain, int]
"""First day, grain and revision of the last report shown."""


def list_reports(
    session: Session, *, grain: ReportGrain | None, after: Place | None, limit: int
) -> Sequence[Row[Any]]:
    """Return reports, the latest period first."""
    columns = [getattr(Report, name) for name in ReportView.model_fields]
    order = (Report.first_day, Report.grain, Report.revision)
    query = select(*columns).order_by(*(column.desc() for column in order))
    if grain is not None:
        query = query.where(Report.grain == grain.value)
    if after is not None:
        query = query.where(tuple_(*order) < tuple_(after[0], after[1].value, after[2]))
    return session.execute(query.limit(limit)).all()


def show(row: Row[Any]) -> ReportView:
    """Return what is shown of *row*."""
    return ReportView.from_row(row, sha256=row.sha256.hex())


def find_report(session: Session, report_id: UUID, content: str) -> Row[Any] | None:
    """Return the column *content* of a report with its digest and period, or None."""
    wanted = getattr(Report, content)
    query = select(wanted.label("content"), Report.sha256, Report.grain, Report.first_day, Report.revision)
    return session.execute(query.where(Report.id == report_id)).one_or_none()
