"""Many at once, and those who die in the middle: a limit is a limit, and nothing is held for ever."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from uuid_utils.compat import uuid7

from config.settings import ROOT
from models.organization import Tenant
from models.quota import LimitReachedError, Quota
from models.session import Database, tenant_session
from tasks.catalog import ACCOUNT_QUOTA, PUBLISH_POST
from tasks.payloads import AccountQuota, PublishPost
from tests.integration.quota.conftest import METER, Books, Ledgers
from tests.integration.quota.holder import HOLDS
from tests.support.wait import wait_until
from worker.refusal import LimitExceededError
from worker.submit import Submission, record

Limited = Callable[..., Tenant]
CLIENTS = 16
LIMIT = 1_000
TRIES = 75
"""Of each client: 200 too many in all."""

Act = Callable[[Quota], object]


def take_and_leave(quota: Quota) -> object:
    return quota.record_usage(METER, 1, source=uuid7())


def hold(quota: Quota) -> object:
    return quota.reserve(METER, 1, holder=uuid7())


def hold_and_commit(quota: Quota) -> object:
    holder = uuid7()
    quota.reserve(METER, 1, holder=holder)
    return quota.commit(METER, holder=holder)


@pytest.mark.parametrize("act", [take_and_leave, hold, hold_and_commit])
def test_of_sixteen_clients_a_thousand_tries_pass_and_not_one_more(
    ledgers: Ledgers, limited: Limited, act: Act
) -> None:
    tenant = limited(posts_month=LIMIT)

    def client(_: int) -> int:
        passed = 0
        for _try in range(TRIES):
            try:
                with ledgers.quota(tenant) as quota:
                    passed += bool(act(quota))
            except LimitReachedError:
                continue
        return passed

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(client, range(CLIENTS))) == LIMIT
    books = ledgers.read(tenant)
    assert books in {Books(LIMIT, 0, LIMIT, 0), Books(0, LIMIT, 0, LIMIT)}


def test_batches_of_jobs_never_pass_the_limit_together(
    ledgers: Ledgers, limited: Limited, database: Database
) -> None:
    tenant = limited(posts_month=LIMIT, jobs_month=10 * LIMIT)
    post = Submission(PUBLISH_POST, PublishPost(post_id=uuid7()))

    def client(_: int) -> int:
        passed = 0
        for _try in range(11):
            try:
                passed += len(record(database, tenant, [post] * 7, requested_by=None, request_id=None))
            except LimitExceededError:
                continue
        return passed

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(client, range(CLIENTS))) == LIMIT // 7 * 7
    assert ledgers.read(tenant) == Books(used=0, reserved=994, ledger=0, held=994)
    assert ledgers.read(tenant, "jobs_month").reserved == 994


def test_sixteen_clients_of_two_meters_never_wait_for_each_other_crosswise(
    limited: Limited, database: Database
) -> None:
    tenant = limited(posts_month=LIMIT, jobs_month=LIMIT)
    post = Submission(PUBLISH_POST, PublishPost(post_id=uuid7()))
    other = Submission(ACCOUNT_QUOTA, AccountQuota())

    def client(number: int) -> None:
        for _ in range(20):
            jobs = [post, other] if number % 2 else [other, post]
            record(database, tenant, jobs, requested_by=None, request_id=None)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))


@pytest.mark.parametrize(("when", "left"), [("inside", 0), ("after", HOLDS)])
def test_who_is_killed_between_reserving_and_committing_holds_nothing_for_ever(
    ledgers: Ledgers, limited: Limited, database: Database, environment: dict[str, str], when: str, left: int
) -> None:
    tenant = limited(posts_month=HOLDS)
    command = [sys.executable, "-m", "tests.integration.quota.holder", str(tenant.organization_id), when]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()
    wait_until(lambda: ledgers.read(tenant).reserved == left, message="Postgres noticed")
    if left:
        with pytest.raises(LimitReachedError), ledgers.quota(tenant) as quota:
            quota.reserve(METER, 1, holder=uuid7())

    def sweep() -> bool:
        with tenant_session(database, tenant.organization_id) as session:
            session.scalars(select(func.app.expire_holds(tenant.organization_id))).one()
        return ledgers.read(tenant).reserved == 0

    wait_until(sweep)
    assert ledgers.read(tenant) == Books(used=0, reserved=0, ledger=0, held=0)
    with ledgers.quota(tenant) as quota:
        assert quota.reserve(METER, HOLDS, holder=uuid7())
