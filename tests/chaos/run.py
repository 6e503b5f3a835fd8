"""Run tenants' jobs while things break, let the system recover, and examine what became of every job."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import redis
from sqlalchemy import update

from config.celery import LANES
from config.plans import PLANS
from config.settings import Settings
from models.lead import Lead
from models.organization import Organization, Tenant, load_tenant
from models.schedule import Schedule
from models.session import DATABASE_ERRORS, Database, open_database, tenant_session
from ops.stack import Stack, settings_from
from ops.token import mint_token
from tests.chaos.audit import Account, Audit, examine_queue, examine_tenant, jobs_in
from tests.chaos.client import Client, Ledger
from tests.chaos.crew import Crew, through
from tests.chaos.fault import FAULTS, Site, draw_faults
from tests.chaos.network import Network
from tests.chaos.work import Order, Supplies, draw_orders, leads_needed, make_ids
from tests.integration.families.stand_in import run_stand_in
from tests.support import outcome
from tests.support.wait import wait_until
from worker.fairshare.queue import FairQueue

SHARES = {"starter": 0.2, "professional": 0.3, "enterprise": 0.5}
"""Plan of each tenant, and its share of the jobs."""
LEASE_S = 2.0
SHORT = {
    "GENIUS_LEASE_TIME": str(LEASE_S),
    "GENIUS_RELAY_INTERVAL": "0.5",
    "GENIUS_STATEMENT_TIMEOUT": "10",
    "GENIUS_LOG_LEVEL": "INFO",
}
UNLIMITED = {
    "limits": {
        meter: {"amount": 10**9, "hard": True}
        for meter in ("jobs_month", "posts_month", "leads_scored_month", "api_calls_hour", "schedules")
    }
}
SUBMITTING = 0.9
"""Share of the time in which jobs are submitted."""
SCHEDULES = 5
"""Schedules of each tenant; they begin with `BACKLOG` to catch up with."""
BACKLOG = 5
"""Moments."""
SUBMITTED_WITHIN_S = 600.0
"""After the last fault."""
STUCK_AFTER_S = 90.0
"""Without faults, a job ends in every stretch of this length until all have."""
LAST = (Order("last-rollup", "analytics.rollup", {}), Order("last-account", "quota.account", {}))
"""Asked for once all is quiet: the rollup counts what came after the one before."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Profile:
    """How much of it."""

    jobs: int
    lasting: timedelta
    seed: int
    gap_s: float
    """Seconds between two faults on average."""
    fewest_faults: float = 0
    """It lasts longer on a machine too busy for so many."""


@dataclass
class Report:
    """What was done to the system, and what was found."""

    profile: Profile
    faults: Counter[str] = field(default_factory=Counter)
    audit: Audit = field(default_factory=Audit)
    jobs: int = 0
    attempts: int = 0
    requests: int = 0
    unanswered: int = 0
    drained_in_s: float = 0.0
    states: Counter[str] = field(default_factory=Counter)
    logs: str = ""

    @property
    def findings(self) -> list[str]:
        return self.audit.findings


def run(profile: Profile, stack: Stack, environment: dict[str, str], directory: Path, say: Say) -> Report:
    """Run it all; *environment* names a migrated database and the stack's own Redis."""
    with ExitStack() as exits:
        run = exits.enter_context(_prepare(profile, stack, environment, directory))
        run.break_things(say)
        run.drain(say)
        run.crew.stop()
        run.examine()
    return run.report


@contextmanager
def _prepare(
    profile: Profile, stack: Stack, environment: dict[str, str], directory: Path
) -> Iterator["_Run"]:
    assert stack.embedded_postgres is not None, "a chaos run breaks the servers: it needs the embedded ones"
    assert stack.embedded_redis is not None
    settings = settings_from(environment)
    with ExitStack() as exits:
        stand_in = exits.enter_context(run_stand_in())
        to_postgres = exits.enter_context(Network(stack.embedded_postgres.port))
        to_redis = exits.enter_context(Network(stack.embedded_redis.port))
        ways = through(environment, postgres_port=to_postgres.port, redis_port=to_redis.port)
        crew = Crew(directory, ways | SHORT | {"GENIUS_STAND_IN_URL": stand_in.url})
        exits.callback(crew.kill)
        chance = random.Random(profile.seed)
        site = Site(stack, crew, to_postgres, to_redis, stand_in, LEASE_S, chance)
        database = open_database(settings, pool_size=5)
        exits.callback(database.engine.dispose)
        yield _Run(Report(profile), site, settings, database, chance)


class _Run:
    def __init__(
        self, report: Report, site: Site, settings: Settings, database: Database, chance: random.Random
    ) -> None:
        self.report = report
        self.crew = site.crew
        self._site = site
        self._settings = settings
        self._database = database
        self._faults = draw_faults(random.Random(report.profile.seed))
        shares = SHARES.items()
        self.accounts = [
            self._account(plan, round(report.profile.jobs * share), chance) for plan, share in shares
        ]

    def _account(self, plan: str, jobs: int, chance: random.Random) -> Account:
        """Make a tenant with all that its orders need."""
        [organization_id] = make_ids(1)
        leads = make_ids(leads_needed(jobs))
        with tenant_session(self._database, organization_id) as session:
            organization = Organization(organization_id=organization_id, name=plan, plan=plan)
            organization.plan_overrides = UNLIMITED
            session.add(organization)
            session.flush()
            session.add_all(
                Lead(organization_id=organization_id, id=lead, job_title="Head of Growth") for lead in leads
            )
            session.add_all(
                _schedule(organization_id, number, PLANS[plan].shortest_schedule)
                for number in range(SCHEDULES)
            )
        tenant = load_tenant(self._database, organization_id)
        assert tenant is not None
        orders = draw_orders(jobs, Supplies(self._connect(tenant), leads), chance)
        return Account(tenant, orders, Ledger())

    def _connect(self, tenant: Tenant) -> list[UUID]:
        accounts = []
        for platform in ("bluesky", "mastodon"):
            handle = f"{tenant.name}.test"
            accounts.append(self._site.stand_in.connect(self._database, tenant, platform, handle).id)
            self._site.stand_in.change(platform, handle, points=10**9)
        return accounts

    def break_things(self, say: Say) -> None:
        """Submit everything while one thing after another breaks."""
        profile = self.report.profile
        self.crew.start()
        submitting = SUBMITTING * profile.lasting.total_seconds()
        clients = [self._client(account, account.orders, submitting) for account in self.accounts]
        for client in clients:
            client.start()
        end = time.monotonic() + profile.lasting.total_seconds()
        while time.monotonic() < end or self.report.faults.total() < profile.fewest_faults:
            name = next(self._faults)
            say(name)
            FAULTS[name](self._site)
            self.report.faults[name] += 1
            self.crew.tend()
            time.sleep(self._site.chance.uniform(0.5, 1.5) * profile.gap_s)
        for client in clients:
            wait_until(partial(self._outlives, client), timeout=SUBMITTED_WITHIN_S)

    def _outlives(self, client: Client) -> bool:
        self.crew.tend()
        return not client.is_alive()

    def _client(self, account: Account, orders: Sequence[Order], lasting: float) -> Client:
        token = mint_token(self._settings, account.tenant)
        seed = f"{self.report.profile.seed} {account.tenant.name} {len(orders)}"
        client = Client(self.crew.url, token, orders, lasting=lasting, chance=random.Random(seed))
        client.ledger = account.told
        return client

    def drain(self, say: Say) -> None:
        """Let everything end, without new faults."""
        say("no more faults: wait until every job has ended")
        began = time.monotonic()
        for account in self.accounts:
            _pause_schedules(self._database, account.tenant)
        self._wait_for_the_end()
        self.report.drained_in_s = time.monotonic() - began
        for account in self.accounts:
            self._client(account, LAST, 0.0).submit_now(LAST)
            account.orders.extend(LAST)
        self._wait_for_the_end()

    def _wait_for_the_end(self) -> None:
        """Wait until all has ended or nothing moves; what is open then is for the examination to find."""
        left: int | None = None
        deadline = time.monotonic() + STUCK_AFTER_S
        while left != 0 and time.monotonic() < deadline:
            now = self._left()
            if now is not None and (left is None or now < left):
                left, deadline = now, time.monotonic() + STUCK_AFTER_S
            time.sleep(0.1)

    def _left(self) -> int | None:
        """Count the jobs that have not ended and the messages; None: nobody knows now."""
        self.crew.tend()
        try:
            states = [outcome.states(self._database, account.tenant) for account in self.accounts]
        except DATABASE_ERRORS:  # connections that broke with the server
            return None
        unended = sum(count for each in states for state, count in each.items() if state not in outcome.FINAL)
        with redis.Redis.from_url(str(self._settings.redis_url)) as client:
            return unended + sum(jobs_in(FairQueue(client, lane)) for lane in LANES)

    def examine(self) -> None:
        """Compare everything, with no process of ours left to change it."""
        report = self.report
        for account in self.accounts:
            examine_tenant(report.audit, self._database, self._site.stand_in, account)
            report.states += outcome.states(self._database, account.tenant)
            report.requests += account.told.requests
            report.unanswered += account.told.unanswered
        with redis.Redis.from_url(str(self._settings.redis_url)) as client:
            examine_queue(report.audit, client)
        ended = self.crew.ended_by_themselves
        report.audit.check("no process ended that nobody killed", ended, of=report.faults.total())
        if report.findings:
            report.logs = self.crew.log_tails()


def _pause_schedules(database: Database, tenant: Tenant) -> None:
    def try_to() -> bool:
        try:
            with tenant_session(database, tenant.organization_id) as session:
                session.execute(update(Schedule).values(paused=True))
        except DATABASE_ERRORS:  # the pool still held connections of before a crash
            return False
        return True

    wait_until(try_to, timeout=60)


def _schedule(organization_id: UUID, number: int, interval: timedelta) -> Schedule:
    begin = datetime.now(UTC).replace(microsecond=0) - BACKLOG * interval
    seconds = int(interval.total_seconds())
    return Schedule(
        organization_id=organization_id,
        name=str(number),
        kind="quota.account",
        payload={},
        interval_seconds=seconds,
        catch_up_seconds=2 * BACKLOG * seconds,
        time_zone="UTC",
        starts_at=begin,
        next_nominal=begin,
        overlap="allow_all",
    )
