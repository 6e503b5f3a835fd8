"""Forgets a person in our own tables, by what the catalogue says there is; a search has the last word."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, REGCLASS, UUID
from sqlalchemy.orm import Session

from models.alert import EmailRecipient
from models.analytics import AnalyticsEvent
from models.lead import Lead
from models.user import User, UserStatus
from tasks.analytics_amending import erase_visitors
from tasks.privacy.person import Person
from tasks.privacy.task import Erasure
from worker.context import RetryLaterError

UNSWEPT = "audit_"
"""Tables of the audit log begin so: they are forgotten by a function of their own."""
AGAIN_AFTER = timedelta(seconds=5)


class StillFoundError(RetryLaterError):
    """Something came back while it was erased, or was written by who knew nothing of it; carries where."""

    def __init__(self, found: Mapping[str, int]) -> None:
        super().__init__(f"still found in {', '.join(sorted(found))}", after=AGAIN_AFTER)
        self.found = found


def whom(erasure: Erasure) -> Person:
    """Return the person that the erasure is about."""
    assert erasure.person is not None, "an organization has steps of its own"
    return erasure.person


def forget_visits(erasure: Erasure) -> Mapping[str, int]:
    """Take the person's visits out of events, marks and days, and count again where they were."""
    person = whom(erasure)
    with erasure.transaction() as session:
        erasure.take_time(session)
        seen = (
            select(AnalyticsEvent.visitor)
            .where(AnalyticsEvent.visitor.op("~*")(person.everywhere))
            .distinct()
        )
        visitors = {visitor for visitor in session.scalars(seen) if visitor} | set(person.visitors)
        gone = erase_visitors(session, erasure.organization_id, sorted(visitors))
    return {"events": gone.events, "quarters": gone.quarters}


def forget_rows(erasure: Erasure) -> Mapping[str, int]:
    """Remove who the person is. A user's row stays without a name: it keeps their tokens from being good."""
    person, gone = whom(erasure), Counter[str]()
    with erasure.transaction() as session:
        erasure.take_time(session)
        for table, ids in ((Lead, person.lead_ids), (EmailRecipient, person.recipient_ids)):
            listed = cast(list(ids), ARRAY(UUID))
            rows = func.app.forget_rows(_named(table.__tablename__), listed, erasure.request_id)
            found = rows.table_valued("place", "gone")
            for place, count in session.execute(select(found.c.place, found.c.gone)):
                gone[place] += count
        for user_id in person.user_ids:
            nobody = f"erased-{user_id}"
            session.execute(
                update(User)
                .where(User.id == user_id)
                .values(
                    email=nobody,
                    email_norm=nobody,
                    name=None,
                    last_seen_at=None,
                    status=UserStatus.DISABLED,
                    deleted_at=func.coalesce(User.deleted_at, datetime.now(UTC)),
                )
                .execution_options(include_deleted=True, synchronize_session=False)
            )
    return dict(gone) | {"users": len(person.user_ids)}


def sweep(erasure: Erasure) -> Mapping[str, Any]:
    """Replace every mention that is left, in every table, then search.

    Raises:
        StillFoundError: The search found something: the next attempt sweeps again.
    """
    person, swept = whom(erasure), Counter[str]()
    with erasure.transaction() as session:
        tables = session.scalars(
            select(func.app.tenant_tables().column_valued("target")).order_by(None)
        ).all()
    names = [str(table) for table in tables]
    for table in names:
        if table.startswith(UNSWEPT):
            continue
        erasure.job.check()
        with erasure.transaction() as session:
            erasure.take_time(session)
            swept[table] += _scrub(session, erasure, table, person)
    with erasure.transaction() as session:
        erasure.take_time(session)
        forgotten = session.scalar(select(func.app.forget_audit(person.everywhere, erasure.request_id)))
    found = search(erasure, person)
    if found:
        raise StillFoundError(found)
    return {
        "rows": {table: count for table, count in swept.items() if count},
        "audit_entries": forgotten,
        "searched": len(names),
        "found": 0,
    }


def search(erasure: Erasure, person: Person) -> dict[str, int]:
    """Look through every row of every table; return where the person is found."""
    with erasure.transaction() as session:
        erasure.take_time(session)
        found = func.app.find_person(person.pattern).table_valued("place", "found")
        return {row.place: row.found for row in session.execute(select(found.c.place, found.c.found))}


def _scrub(session: Session, erasure: Erasure, table: str, person: Person) -> int:
    patterns = (person.words_pattern, person.ids_pattern)
    return session.scalar(select(func.app.scrub_table(_named(table), *patterns, erasure.request_id))) or 0


def _named(table: str) -> Any:
    return cast(literal(f"public.{table}"), REGCLASS)
