"""Random histories: whatever is done in whatever order, no limit is passed and the books agree."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from sqlalchemy import func, select
from uuid_utils.compat import uuid7

from models.organization import Tenant
from models.quota import HoldLapsedError, LimitReachedError, MoreThanHeldError
from models.session import Database, call, call_for_each, tenant_session
from tasks.catalog import SCORE_LEADS
from tasks.payloads import ScoreLeads
from tests.integration.quota.conftest import Books, Ledgers, change
from worker.refusal import LimitExceededError
from worker.submit import Submission, record

METER = "leads_scored_month"
VERBS = ("reserve", "lapsing", "record", "submit", "commit", "release", "complete", "cancel", "sweep", "plan")
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(1, 40), st.integers(0, 9)), max_size=14)

NOTHING = Books(0, 0, 0, 0)


@dataclass
class History:
    """Does one act after another for one tenant."""

    database: Database
    ledgers: Ledgers
    tenant: Tenant
    holders: list[UUID] = field(default_factory=list)
    jobs: list[UUID] = field(default_factory=list)
    books: Books = NOTHING

    def step(self, verb: str, quantity: int, which: int) -> bool:
        """Do one act; answer whether it took something."""
        before = self.books
        try:
            getattr(self, verb)(quantity, which)
        except (LimitReachedError, LimitExceededError, HoldLapsedError, MoreThanHeldError):
            assert self.ledgers.read(self.tenant, METER) == before, "what is refused changes nothing"
            return False
        self.books = self.ledgers.read(self.tenant, METER)
        return self.books.used + self.books.reserved > before.used + before.reserved

    def reserve(self, quantity: int, _: int, lasts: timedelta = timedelta(hours=1)) -> None:
        self.holders.append(uuid7())
        with self.ledgers.quota(self.tenant) as quota:
            quota.reserve(METER, quantity, holder=self.holders[-1], lasts=lasts)

    def lapsing(self, quantity: int, which: int) -> None:
        self.reserve(quantity, which, timedelta(0))

    def record(self, quantity: int, _: int) -> None:
        with self.ledgers.quota(self.tenant) as quota:
            quota.record_usage(METER, quantity, source=uuid7())

    def commit(self, quantity: int, which: int) -> None:
        for holder in self.holders[which : which + 1]:
            with self.ledgers.quota(self.tenant) as quota:
                quota.commit(METER, holder=holder, quantity=quantity)

    def release(self, _: int, which: int) -> None:
        for holder in self.holders[which : which + 1]:
            with self.ledgers.quota(self.tenant) as quota:
                quota.release(holder)

    def submit(self, quantity: int, _: int) -> None:
        job = Submission(SCORE_LEADS, ScoreLeads(all=True, limit=quantity))
        recorded = record(self.database, self.tenant, [job], requested_by=None, request_id=None)
        self.jobs.append(recorded[0].id)

    def complete(self, quantity: int, which: int) -> None:
        own = self.tenant.organization_id
        for job in self.jobs[which : which + 1]:
            call_for_each(
                self.database,
                [own],
                "claim_jobs",
                jobs=[job],
                attempts_made=[0],
                worker="test",
                lease=timedelta(minutes=1),
            )
            call(
                self.database,
                own,
                "complete_jobs",
                jobs=[job],
                held_attempts=[1],
                outcomes=[Jsonb({})],
                quantities=[1 + quantity % 2],
            )

    def cancel(self, _: int, which: int) -> None:
        for job in self.jobs[which : which + 1]:
            call(self.database, self.tenant.organization_id, "cancel_job", job=job)

    def sweep(self, _: int, __: int) -> None:
        own = self.tenant.organization_id
        with tenant_session(self.database, own) as session:
            session.scalars(select(func.app.expire_holds(own))).one()

    def plan(self, quantity: int, _: int) -> None:
        self.tenant = change(self.database, self.tenant, leads_scored_month=quantity + 40)


def test_whatever_happens_the_limit_holds_and_the_books_agree(
    database: Database, ledgers: Ledgers, organization: Callable[..., Tenant]
) -> None:
    @given(steps=STEPS)
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    def run(steps: list[tuple[str, int, int]]) -> None:
        tenant = change(database, organization(), leads_scored_month=60)
        history = History(database, ledgers, tenant)
        for step in steps:
            took = history.step(*step)
            books = history.books
            assert (books.used, books.reserved) == (books.ledger, books.held)
            limit = history.tenant.terms.limits[METER]
            assert not took or books.used + books.reserved <= limit.amount

    run()
