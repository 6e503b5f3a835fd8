"""Faults are injected, and the alert that is for them holds on what is exposed then, and not before."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import redis
import yaml
from prometheus_client import generate_latest
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import ROOT, Settings
from intake.metrics import state_registry
from models.connection import POOL_TIMEOUT
from models.organization import Tenant
from models.session import Database, RelayDatabase, call_for_each, open_database
from tests.integration.life.acts import age_outbox
from tests.integration.observability.exposition import samples
from tests.support.kinds import LEAVE_CAMPAIGN, Leave
from tests.support.promql import Scrape, evaluate
from worker.ending import Ending
from worker.fairshare.queue import Entry, FairQueue
from worker.metrics import ended, lanes
from worker.metrics.lanes import watch_lanes
from worker.origin import Origin
from worker.relay_report import measure_lag, note_pass
from worker.submit import Submission, record

RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
EXPRESSIONS = {rule["alert"]: rule["expr"] for group in RULES["groups"] for rule in group["rules"]}


class Watched:
    """What an intake and a worker expose, and what Prometheus would say of it."""

    def __init__(self, settings: Settings, database: Database, client: redis.Redis) -> None:
        self.state = SimpleNamespace(settings=settings, database=database, redis=client)
        self.scrapes: list[Scrape] = []

    def scrape(self, *, at: float) -> None:
        exposed = (generate_latest(state_registry(self.state)), generate_latest(ended.REGISTRY))
        self.scrapes.append((at, samples(*(text.decode() for text in exposed))))

    def holds(self, alert: str, *, at: float = 0.0) -> bool:
        """Tell whether the condition of an alert is true now."""
        self.scrape(at=at)
        return bool(evaluate(EXPRESSIONS[alert], self.scrapes))


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    lanes._watch.cache_clear()  # noqa: SLF001 - once a process, and this one has many databases
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        yield client
    lanes._watch.cache_clear()  # noqa: SLF001


@pytest.fixture
def watched(
    settings: Settings, database: Database, relay_database: RelayDatabase, client: redis.Redis
) -> Watched:
    """A system in good health."""
    note_pass(relay_database, {})
    measure_lag(relay_database)
    watch_lanes(relay_database, database)
    watched = Watched(settings, database, client)
    healthy = [alert for alert in EXPRESSIONS if watched.holds(alert)]
    assert healthy == []
    return watched


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization()


def test_no_beat(settings: Settings, database: Database, client: redis.Redis) -> None:
    watched = Watched(settings, database, client)
    assert watched.holds("NoBeat")
    assert watched.holds("LanesUnseen")


def test_jobs_that_stand_without_a_message(
    watched: Watched, database: Database, relay_database: RelayDatabase, tenant: Tenant
) -> None:
    wanted = Submission(LEAVE_CAMPAIGN, Leave(name="x"))
    record(database, tenant, [wanted], requested_by=None, request_id=None)
    age_outbox(database, tenant)
    measure_lag(relay_database)
    assert watched.holds("OutboxStuck")


def test_leases_that_nobody_takes_back(
    watched: Watched, database: Database, relay_database: RelayDatabase, tenant: Tenant
) -> None:
    [job] = record(
        database, tenant, [Submission(LEAVE_CAMPAIGN, Leave(name="x"))], requested_by=None, request_id=None
    )
    call_for_each(
        database,
        [tenant.organization_id],
        "claim_jobs",
        jobs=[job.id],
        attempts_made=[0],
        worker="gone",
        lease=timedelta(minutes=-1),
    )
    measure_lag(relay_database)
    assert watched.holds("LeasesLapsed")


def test_redis_away(watched: Watched) -> None:
    with redis.Redis(port=1, retry=Retry(NoBackoff(), 0)) as away:
        watched.state.redis = away
        assert watched.holds("RedisAway")
        assert watched.holds("LanesUnseen")


def look_again(relay_database: RelayDatabase, database: Database, client: redis.Redis) -> None:
    client.delete(lanes.TURN_KEY)
    watch_lanes(relay_database, database)


def test_a_lane_that_stands_still_and_one_that_goes_on(
    watched: Watched, database: Database, relay_database: RelayDatabase, client: redis.Redis
) -> None:
    then = datetime.now(UTC) - timedelta(hours=1)
    FairQueue(client, "social", clock=lambda: int(then.timestamp() * 1e6)).enqueue(
        [Entry(f"job-{n}", "{}", "acme", "social.publish_post") for n in range(2)]
    )
    look_again(relay_database, database, client)
    assert watched.holds("LaneStandsStill")
    assert watched.holds("LaneWaitsLong")
    FairQueue(client, "social").reserve(1)
    look_again(relay_database, database, client)
    assert not watched.holds("LaneStandsStill")
    assert watched.holds("LaneWaitsLong")


def test_a_pool_of_connections_that_is_used_up(watched: Watched, settings: Settings) -> None:
    small = settings.model_copy(update={"database_pool_size": 2})
    database = open_database(small)
    watched.state.settings, watched.state.database = small, database
    with ExitStack() as exits:
        exits.callback(database.engine.dispose)
        exits.enter_context(database.engine.connect())
        assert not watched.holds("DatabasePoolFull")
        exits.enter_context(database.engine.connect())
        began = time.monotonic()
        assert watched.holds("DatabasePoolFull")
        assert time.monotonic() - began < POOL_TIMEOUT.total_seconds(), "it asks for no connection"


@pytest.mark.parametrize(
    ("ending", "times", "alert"),
    [
        (Ending.LOST, 4, "WorkersDying"),
        (Ending.OVERTIME, 4, "WorkersDying"),
        (Ending.FORGED, 1, "ForgedMessages"),
        (Ending.DEAD, 6, "JobsDying"),
    ],
)
def test_what_workers_count(watched: Watched, ending: Ending, times: int, alert: str) -> None:
    ended.count("leads.score", "scoring", Origin("starter"), ending, 0.1)
    watched.scrape(at=60.0)
    for _ in range(times):
        ended.count("leads.score", "scoring", Origin("starter"), ending, 0.1)
    watched.scrapes = watched.scrapes[-1:]
    assert watched.holds(alert, at=120.0)


def test_steps_of_the_relay_that_fail(watched: Watched, relay_database: RelayDatabase) -> None:
    note_pass(relay_database, {"failed_steps": 1})
    watched.scrape(at=60.0)
    note_pass(relay_database, {"failed_steps": 4})
    watched.scrapes = watched.scrapes[-1:]
    assert watched.holds("RelayStepsFail", at=120.0)
