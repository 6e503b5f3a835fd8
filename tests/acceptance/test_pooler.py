"""Everything works behind PgBouncer in transaction mode, and no tenant is seen by another there."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from config.settings import Settings
from models.campaign import Campaign
from models.connection import PooledRoleError
from models.organization import Tenant
from models.session import (
    Database,
    RelayDatabase,
    call_relay,
    open_database,
    open_relay_database,
    relay_session,
    tenant_session,
)
from ops.stack import settings_from
from tests.support import outcome
from tests.support.kinds import INCLUDE, LEAVE_CAMPAIGN, Leave
from tests.support.pooler import NEEDS_PGBOUNCER, pgbouncer, through
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.submit import Submission, cancel, retry, submit

SERVER_CONNECTIONS = 2
"""Fewer than there are clients, so that each of them is served by connections that another just used."""

URLS = ("GENIUS_DATABASE_URL", "GENIUS_RELAY_DATABASE_URL")

pytestmark = NEEDS_PGBOUNCER


@pytest.fixture
def pooler(test_directory: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run PgBouncer before this test's Postgres; yield its address."""
    urls = [environment[name] for name in URLS]
    with pgbouncer(test_directory, urls, connections=SERVER_CONNECTIONS) as address:
        yield address


@pytest.fixture
def pooled(environment: dict[str, str], pooler: str) -> dict[str, str]:
    """The environment of a process whose URLs lead to the pooler; only migrations go round it."""
    urls = {name: through(environment[name], pooler) for name in URLS}
    return environment | urls | {"GENIUS_DATABASE_POOLED": "true"}


@pytest.fixture
def pooled_database(settings: Settings, pooled: dict[str, str]) -> Iterator[Database]:
    database = open_database(settings_from(pooled), pool_size=8)
    yield database
    database.engine.dispose()


@pytest.fixture
def pooled_relay(settings: Settings, pooled: dict[str, str]) -> Iterator[RelayDatabase]:
    database = open_relay_database(settings_from(pooled))
    yield database
    database.engine.dispose()


def test_the_whole_life_of_jobs_behind_a_pooler(
    pooled: dict[str, str],
    pooled_database: Database,
    organization: Callable[..., Tenant],
    services: Services,
    settings: Settings,
) -> None:
    tenants = [organization(name=name) for name in ("A", "B")]
    publisher = Publisher(settings)
    services.worker(pool="threads", concurrency=8, options=INCLUDE, environment=pooled)
    services.beat(pooled | {"GENIUS_RELAY_INTERVAL": "0.3"})
    for tenant in tenants:
        jobs = [Leave(name=f"{tenant.name}{n}", failures=n % 5 == 0) for n in range(100)]
        doomed = Leave(name="doomed", failures=1, permanent=True)
        wanted = [Submission(LEAVE_CAMPAIGN, each) for each in (*jobs, doomed)]
        [*_, dead] = submit(pooled_database, tenant, wanted, publisher=publisher)
        wait_until(partial(outcome.all_ended, pooled_database, [tenant]), timeout=60)
        assert outcome.states(pooled_database, tenant) == {"succeeded": 100, "dead": 1}
        assert retry(pooled_database, tenant, dead.id, publisher=publisher) == "queued"
        wait_until(partial(outcome.all_ended, pooled_database, [tenant]), timeout=60)
    for tenant in tenants:
        left = outcome.campaigns_left(pooled_database, tenant)
        assert left == {**{f"{tenant.name}{n}": 1 for n in range(100)}, "doomed": 1}
        assert outcome.leftovers(pooled_database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}


def test_connections_that_tenants_take_turns_on_show_nobody_elses_rows(
    pooled_database: Database, organization: Callable[..., Tenant]
) -> None:
    tenants = [organization(name=str(n)) for n in range(8)]
    for tenant in tenants:
        with tenant_session(pooled_database, tenant.organization_id) as session:
            session.add(Campaign(organization_id=tenant.organization_id, name=tenant.name))
    gate = threading.Barrier(len(tenants))

    def look(tenant: Tenant) -> set[str]:
        gate.wait()
        seen: set[str] = set()
        for _ in range(100):
            with tenant_session(pooled_database, tenant.organization_id) as session:
                seen |= set(session.scalars(text("SELECT name FROM campaigns")))
                seen |= set(session.scalars(select(Campaign.name)))
        return seen

    with ThreadPoolExecutor(len(tenants)) as pool:
        assert list(pool.map(look, tenants)) == [{tenant.name} for tenant in tenants]


def test_a_transaction_without_a_tenant_sees_nothing_behind_a_pooler_either(
    pooled_database: Database, organization: Callable[..., Tenant], settings: Settings
) -> None:
    tenant = organization()
    [job] = submit(
        pooled_database,
        tenant,
        [Submission(LEAVE_CAMPAIGN, Leave(name="x"))],
        publisher=Publisher(settings),
    )
    assert cancel(pooled_database, tenant, job.id) == "cancelled"
    for _ in range(2 * SERVER_CONNECTIONS):
        with (
            pooled_database.engine.connect() as connection,
            pytest.raises(Exception, match="no tenant is bound"),
        ):
            connection.execute(text("SELECT count(*) FROM jobs"))


def test_the_limits_of_the_roles_hold_behind_a_pooler(
    pooled_database: Database, pooled_relay: RelayDatabase
) -> None:
    names = ("statement_timeout", "idle_in_transaction_session_timeout")
    query = text("SELECT current_user, current_setting(:a), current_setting(:b)")
    values = dict(zip("ab", names, strict=True))
    with pooled_database.engine.connect() as connection:
        assert tuple(connection.execute(query, values).one()) == ("genius_app", "30s", "1min")
    with relay_session(pooled_relay) as session:
        assert tuple(session.execute(query, values).one()) == ("genius_relay", "30s", "1min")
    assert call_relay(pooled_relay, "requeue_lapsed", batch=1)[0]["requeue_lapsed"] == 0


def test_the_relay_cannot_become_itself_through_a_pooler(pooled: dict[str, str]) -> None:
    applications = pooled | {"GENIUS_RELAY_DATABASE_URL": pooled["GENIUS_DATABASE_URL"]}
    with pytest.raises(PooledRoleError, match="logs in as genius_relay"):
        open_relay_database(settings_from(applications))


def test_without_the_setting_a_pooler_is_noticed_at_once(pooled: dict[str, str]) -> None:
    database = open_database(settings_from(pooled | {"GENIUS_DATABASE_POOLED": "false"}), pool_size=1)
    with pytest.raises(OperationalError, match="unsupported startup parameter"), database.engine.connect():
        pass
    database.engine.dispose()
