"""Workers of every pool run the messages of brief jobs in groups; no group is of two organizations."""

from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import text

from config.settings import Settings
from models.organization import Tenant
from models.session import Database, tenant_session
from tests.support import outcome
from tests.support.kinds import INCLUDE, LEAVE_BRIEFLY, Leave
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.submit import Submission, submit

JOBS, TOTAL = 24, 36
FAILING = 31
CLEAN = {"leases": 0, "outbox": 0, "holds": 0}


@pytest.mark.parametrize(
    ("pool", "slots", "most_transactions"),
    [("threads", 24, 16), ("prefork", 2, JOBS), ("solo", 1, JOBS), ("gevent", 24, 16)],
)
def test_what_waits_together_runs_together(
    database: Database,
    organization: Callable[..., Tenant],
    settings: Settings,
    services: Services,
    pool: str,
    slots: int,
    most_transactions: int,
) -> None:
    tenants = [organization(name=str(n)) for n in range(3)]
    publisher = Publisher(settings)
    for tenant in tenants:
        submit(database, tenant, [brief(n) for n in range(JOBS)], publisher=publisher)
    services.worker(pool=pool, concurrency=slots, options=INCLUDE)
    wait_until(lambda: outcome.all_ended(database, tenants), timeout=60)
    writers = [writing_transactions(database, tenant) for tenant in tenants]
    assert max(map(len, writers)) <= most_transactions, "jobs shared transactions"

    for tenant in tenants:  # one that fails has those that wait with it run one by one
        more = [brief(n, failures=int(n == FAILING)) for n in range(JOBS, TOTAL)]
        submit(database, tenant, more, publisher=publisher)
    wait_until(lambda: outcome.all_ended(database, tenants), timeout=60)
    for tenant in tenants:
        assert outcome.campaigns_left(database, tenant) == Counter({str(n): 1 for n in range(TOTAL)})
        assert outcome.quota(database, tenant) == (TOTAL, 0)
        assert outcome.leftovers(database, tenant) == CLEAN
    writers = [writing_transactions(database, tenant) for tenant in tenants]
    assert sum(map(len, writers)) == len(set().union(*writers)), "no two tenants shared one"


def brief(number: int, *, failures: int = 0) -> Submission:
    return Submission(LEAVE_BRIEFLY, Leave(name=str(number), sleep_ms=2, failures=failures))


def writing_transactions(database: Database, tenant: Tenant) -> set[str]:
    with tenant_session(database, tenant.organization_id) as session:
        return set(session.execute(text("SELECT DISTINCT xmin::text FROM jobs")).scalars())
