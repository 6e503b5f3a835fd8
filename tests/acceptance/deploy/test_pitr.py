"""A disaster, and the database as it was a moment before: recovered from a base backup and archived log.

Redis is the one that has seen everything that came after the moment, as it would have. The long form, with
workers and beats before and after: ``PITR_DRILL=1 pytest tests/acceptance/deploy/test_pitr.py``.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import select
from uuid_utils.compat import uuid7

from config.settings import get_settings
from models.job import Job
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, open_database, open_relay_database, tenant_session
from ops.backup.restore import examine
from ops.embedded_postgres import EmbeddedPostgres
from ops.stack import Stack, settings_from
from tests.acceptance.deploy.archived import (
    Archive,
    archive_all,
    back_up,
    moved,
    recovered,
    start_archiving,
)
from tests.support import outcome
from tests.support.in_process import genius
from tests.support.kinds import INCLUDE, LEAVE_CAMPAIGN, Leave
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.claim import claim
from worker.pointer import make_pointer
from worker.publish import Publisher
from worker.relay import Pass, run_pass
from worker.submit import Submission, submit

BEFORE, AFTER = 8, 4
"""Jobs of each organization that are accepted before the moment, and after it."""
HALF = BEFORE // 2
"""Of those before, the ones that the base backup holds; the others are in the log alone."""
RUNNING = 2
FAST = {"GENIUS_LEASE_TIME": "2", "GENIUS_RELAY_INTERVAL": "0.5"}

is_long = pytest.mark.skipif(not os.environ.get("PITR_DRILL"), reason="the long form of the drill")


@dataclass
class Drill:
    """A server whose log is archived, two organizations, and what clients were told."""

    source: Stack
    directory: Path
    archive: Archive
    environment: dict[str, str]
    database: Database
    tenants: list[Tenant]
    before: dict[UUID, list[UUID]] = field(default_factory=dict)
    """Ids of jobs that were accepted before the moment, by organization."""

    @property
    def server(self) -> EmbeddedPostgres:
        assert self.source.embedded_postgres is not None
        return self.source.embedded_postgres

    def accept(self, numbers: range) -> dict[UUID, list[UUID]]:
        """Submit jobs; the last one before the moment takes so long that the moment finds it running."""
        jobs = [
            Submission(LEAVE_CAMPAIGN, Leave(name=f"job {n}", sleep_ms=900 if n == BEFORE - 1 else 20))
            for n in numbers
        ]
        publisher = Publisher(settings_from(self.environment))
        return {
            each.organization_id: [job.id for job in submit(self.database, each, jobs, publisher=publisher)]
            for each in self.tenants
        }

    def accept_before(self, numbers: range) -> None:
        for organization_id, jobs in self.accept(numbers).items():
            self.before.setdefault(organization_id, []).extend(jobs)

    def moment(self) -> datetime:
        """Look at the server's clock."""
        with psycopg.connect(self.server.superuser_conninfo) as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        now: datetime = row[0]
        return now

    def destroy(self) -> None:
        """Lose an organization's jobs and a whole table; then the server."""
        with psycopg.connect(self.source.postgres.superuser_url or "") as connection:
            lost = "DELETE FROM jobs WHERE organization_id = %s"
            assert connection.execute(lost, [self.tenants[0].organization_id]).rowcount > 0
            connection.execute("DROP TABLE campaigns CASCADE")
        archive_all(self.server, self.archive)
        self.database.engine.dispose()
        self.server.kill()

    @contextmanager
    def recovered(self, moment: datetime) -> Iterator[tuple[dict[str, str], Database]]:
        """Recover to *moment* in an empty server, and migrate and examine it as the how-to says."""
        place = self.directory / "recovered"
        with recovered(self.source, self.archive, place, moment) as there, ExitStack() as exits:
            urls = self.source.postgres.environment()
            environment = self.environment | {name: moved(url, there) for name, url in urls.items()}
            done = genius("migrate", environment=environment)
            assert done.exit_code == 0, done.stdout + done.stderr
            settings = settings_from(environment)
            findings = examine(moved(self.source.postgres.superuser_url or "", there), settings)
            assert len(findings) == 2
            assert all(finding.holds for finding in findings), findings
            database = open_database(settings, pool_size=2)
            exits.callback(database.engine.dispose)
            yield environment, database


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    with Stack(tmp_path / "source", environ={}) as stack, ExitStack() as exits:
        archive = Archive.make(tmp_path / "archive")
        assert stack.embedded_postgres is not None
        start_archiving(stack.embedded_postgres, archive)
        stack.migrate()
        environment = stack.environment() | FAST
        database = open_database(settings_from(environment), pool_size=2)
        exits.callback(database.engine.dispose)
        tenants = [made(database, name) for name in ("Acme", "Bolt")]
        yield Drill(stack, tmp_path, archive, environment, database, tenants)


def made(database: Database, name: str) -> Tenant:
    organization_id = uuid7()
    with tenant_session(database, organization_id) as session:
        session.add(Organization(organization_id=organization_id, name=name, plan="enterprise"))
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    return tenant


def jobs_of(database: Database, tenant: Tenant, state: str | None = None) -> set[UUID]:
    query = select(Job.id) if state is None else select(Job.id).where(Job.state == state)
    with tenant_session(database, tenant.organization_id) as session:
        return set(session.scalars(query))


def start_some(drill: Drill) -> None:
    """Claim jobs for somebody who does not survive."""
    for organization_id, jobs in drill.before.items():
        pointers = [
            make_pointer(organization_id, job, kind=LEAVE_CAMPAIGN.name, attempts_made=0, due_at=None)
            for job in jobs[:RUNNING]
        ]
        assert all(claim(drill.database, pointers))


def every_job_ended_once(database: Database, tenant: Tenant) -> None:
    assert outcome.states(database, tenant) == Counter(succeeded=BEFORE)
    assert outcome.successes(database, tenant) == Counter({1: BEFORE})
    assert outcome.campaigns_left(database, tenant) == Counter({f"job {n}": 1 for n in range(BEFORE)})
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}
    assert outcome.ledger(database, tenant) == BEFORE


@contextmanager
def as_beat(environment: dict[str, str]) -> Iterator[Callable[[], Pass]]:
    """Let this process have *environment*; yield a pass of the relay."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        settings = get_settings()
        relay, publisher = open_relay_database(settings), Publisher(settings)
        yield lambda: run_pass(relay, publisher)
        relay.engine.dispose()
    get_settings.cache_clear()


def test_what_was_accepted_by_the_moment_comes_back_and_ends(drill: Drill) -> None:
    drill.accept_before(range(HALF))
    back_up(drill.server, drill.archive)
    drill.accept_before(range(HALF, BEFORE))
    with as_beat(drill.environment) as relay:
        relay()
        assert relay().rebuilt == 0, "it has offered everything to this Redis"
        start_some(drill)
    moment = drill.moment()
    drill.accept(range(BEFORE, BEFORE + AFTER))
    drill.destroy()

    with drill.recovered(moment) as (environment, database), ExitStack() as exits:
        for tenant in drill.tenants:
            assert jobs_of(database, tenant) == set(drill.before[tenant.organization_id])
            assert outcome.states(database, tenant) == Counter(running=RUNNING, queued=BEFORE - RUNNING)
        with as_beat(environment) as relay:
            waiting = len(drill.tenants) * (BEFORE - RUNNING)
            assert relay().rebuilt >= waiting, "Postgres is another one, though Redis is the same"
            services = Services(drill.directory / "services", environment, exits)
            services.worker(pool="threads", options=INCLUDE)
            wait_until(lambda: relay() and outcome.all_ended(database, drill.tenants), 60)
        for tenant in drill.tenants:
            every_job_ended_once(database, tenant)


@is_long
def test_what_ended_after_the_moment_runs_again_though_redis_knows_it(drill: Drill) -> None:
    with ExitStack() as exits:
        services = Services(drill.directory / "before", drill.environment, exits)
        services.beat()
        services.worker(options=INCLUDE)
        drill.accept_before(range(HALF))
        back_up(drill.server, drill.archive)
        drill.accept_before(range(HALF, BEFORE))
        wait_until(
            lambda: all(len(jobs_of(drill.database, each, "succeeded")) > HALF for each in drill.tenants), 30
        )
        seen = {each.organization_id: jobs_of(drill.database, each, "succeeded") for each in drill.tenants}
        moment = drill.moment()
        drill.accept(range(BEFORE, BEFORE + AFTER))
        wait_until(lambda: outcome.all_ended(drill.database, drill.tenants), 60)
    drill.destroy()

    with drill.recovered(moment) as (environment, database), ExitStack() as exits:
        for tenant in drill.tenants:
            assert jobs_of(database, tenant) == set(drill.before[tenant.organization_id])
            succeeded = jobs_of(database, tenant, "succeeded")
            assert seen[tenant.organization_id] <= succeeded
            assert len(succeeded) < BEFORE, "the moment found some that were not done"
            assert outcome.campaigns_left(database, tenant).total() == len(succeeded)
        services = Services(drill.directory / "after", environment, exits)
        services.beat()
        services.worker(options=INCLUDE)
        wait_until(lambda: outcome.all_ended(database, drill.tenants), 60)
        for tenant in drill.tenants:
            every_job_ended_once(database, tenant)
