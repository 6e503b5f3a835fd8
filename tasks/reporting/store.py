"""Snapshots in the database: one a period; another only when somebody asks and the figures have changed."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

import orjson
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.report import Report
from models.setting import Setting
from tasks.branding import FEATURE, SETTING, Branding
from tasks.reporting.document import SHAPE_VERSION, Document, canonical
from tasks.reporting.period import Period
from tasks.reporting.reading import Subject
from tasks.reporting.render import render_csv, render_html


@dataclass(frozen=True, slots=True)
class Stored:
    """A snapshot, and whether it was there before."""

    id: UUID
    revision: int
    sha256: bytes
    fresh: bool


def latest(session: Session, period: Period) -> Stored | None:
    """Return the newest snapshot of *period*."""
    row = session.execute(
        select(Report.id, Report.revision, Report.sha256)
        .where(Report.grain == period.grain.value, Report.first_day == period.current.first)
        .order_by(Report.revision.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else Stored(row.id, row.revision, row.sha256, fresh=False)


def branding_of(session: Session, subject: Subject) -> Branding:
    """Return how the report shall look; the plain look where the plan has no other."""
    if not subject.terms.offers(FEATURE):
        return Branding()
    value = session.scalars(select(Setting.value).where(Setting.key == SETTING)).one_or_none()
    return Branding() if value is None else Branding.model_validate(value)


def store(
    session: Session, subject: Subject, period: Period, document: Document, *, job_id: UUID | None
) -> Stored:
    """Write the snapshot of *period*; two who do so at once write one, and both are told which."""
    before = latest(session, period)
    content = canonical(document)
    digest = hashlib.sha256(content).digest()
    kept: Document = orjson.loads(content)  # page and table can be made again from what is kept
    if before is not None and before.sha256 == digest:
        return before
    statement = (
        insert(Report)
        .values(
            organization_id=subject.organization_id,
            grain=period.grain.value,
            first_day=period.current.first,
            last_day=period.current.last,
            time_zone=period.time_zone,
            revision=1 if before is None else before.revision + 1,
            shape_version=SHAPE_VERSION,
            sha256=digest,
            document=content.decode(),
            csv=render_csv(kept),
            html=render_html(kept, branding_of(session, subject)),
            job_id=job_id,
        )
        .on_conflict_do_nothing()
        .returning(Report.id, Report.revision)
    )
    row = session.execute(statement).one_or_none()
    if row is not None:
        return Stored(row.id, row.revision, digest, fresh=True)
    other = latest(session, period)
    assert other is not None, "what the insert ran into is committed, hence visible to the next statement"
    return other
