"""Everything works behind PgBouncer in transaction mode, and no tenant is seen by another there.

PgBouncer is not installed by the project: without it these tests are left out, loudly.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

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
from ops.port import free_port
from ops.process import ChildProcess
from ops.stack import PostgresUrls, settings_from
from tests.support import outcome
from tests.support.kinds import INCLUDE, LEAVE_CAMPAIGN, Leave
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.submit import Submission, cancel, retry, submit

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
SERVER_CONNECTIONS = 2
"""Fewer than there are clients, so that each of them is served by connections that another just used."""

CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
unix_socket_dir =
"""

pytestmark = pytest.mark.skipif(
    PGBOUNCER is None,
    reason="NO PGBOUNCER: the tests behind a pooler did not run (apt-get install pgbouncer)",
)


@pytest.fixture
def pooler(test_directory: Path, database_urls: PostgresUrls, environment: dict[str, str]) -> Iterator[str]:
    """Run PgBouncer before this test's Postgres; yield its address."""
    directory = test_directory / f"pgbouncer-{free_port()}"
    directory.mkdir(mode=0o755)
    server = urlsplit(environment["GENIUS_DATABASE_URL"])
    users, listen = directory / "users.txt", free_port()
    urls = [urlsplit(environment[f"GENIUS_{role}_URL"]) for role in ("DATABASE", "RELAY_DATABASE")]
    users.write_text("".join(f'"{url.username}" "{url.password}"\n' for url in urls))
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            host=server.hostname, port=server.port, listen=listen, users=users, connections=SERVER_CONNECTIONS
        )
    )
    assert PGBOUNCER is not None
    child = ChildProcess(
        "pgbouncer",
        [PGBOUNCER, configuration],
        log=directory / "log",
        user="65534:65534" if os.geteuid() == 0 else None,  # it refuses to run as root
    )
    child.start()
    try:
        child.wait_ready(lambda: b"process up" in child.fresh_log(), timedelta(seconds=10))
        yield f"127.0.0.1:{listen}"
    finally:
        child.kill()


@pytest.fixture
def pooled(environment: dict[str, str], pooler: str) -> dict[str, str]:
    """The environment of a process whose URLs lead to the pooler; only migrations go round it."""

    def through(url: str) -> str:
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@{pooler}"))

    urls = {name: through(environment[name]) for name in ("GENIUS_DATABASE_URL", "GENIUS_RELAY_DATABASE_URL")}
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
        wait_until(partial(outcome.all_ended, pooled_database, [tenant]), timeout=30)
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
