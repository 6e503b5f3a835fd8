"""`genius tenant`: an operator changes what an organization may use, and the queue follows at once."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import select
from uuid_utils.compat import uuid7

from config.celery import LANES
from config.settings import Settings
from models.audit import AuditEntry
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, RelayDatabase, tenant_session
from ops.port import free_port
from tasks.catalog import ACCOUNT_QUOTA, ROLLUP, SCORE_LEADS, TRAIN_MODEL
from tasks.payloads import AccountQuota, Rollup, ScoreLeads, TrainModel
from tests.support.in_process import genius
from worker.fairshare.queue import FairQueue, Finish
from worker.publish import Publisher
from worker.relay import run_pass
from worker.submit import Submission, submit

RUN_US = 1_000_000


class Worker:
    """Runs one job at a time, each for a second of a clock of its own."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.now = int(datetime.now(UTC).timestamp() * 1_000_000)

    def serve(self, count: int, lane: str = "analytics") -> list[str]:
        """Run up to *count* jobs; return whose they were."""
        queue = FairQueue(self.client, lane, clock=lambda: self.now)
        served = []
        for _ in range(count):
            for job in queue.reserve(1):
                self.now += RUN_US
                queue.finish([Finish(job.token)])
                served.append(job.tenant)
        return served

    def counted(self, count: int) -> Counter[str]:
        return Counter(self.serve(count))


@pytest.fixture
def worker(redis_url: str) -> Iterator[Worker]:
    with redis.Redis.from_url(redis_url) as client:
        yield Worker(client)


@pytest.fixture
def publisher(settings: Settings) -> Publisher:
    return Publisher(settings)


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., Any]:
    """Run ``genius tenant ... --json`` for an organization and return what it prints."""

    def tenant_command(verb: str, tenant: Tenant, *options: str) -> Any:
        arguments = ("tenant", verb, "--org", str(tenant.organization_id), *options, "--json")
        done = genius(*arguments, environment=environment)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    return tenant_command


@pytest.fixture
def two(database: Database, organization: Callable[..., Tenant], publisher: Publisher) -> list[Tenant]:
    """Two organizations on the smallest plan, each with 60 jobs waiting."""
    tenants = [organization(plan="starter", name=name) for name in ("A", "B")]
    for tenant in tenants:
        submit(database, tenant, rollups(60), publisher=publisher)
    return tenants


def rollups(count: int) -> list[Submission]:
    return [Submission(ROLLUP, Rollup()) for _ in range(count)]


def name(tenant: Tenant) -> str:
    return str(tenant.organization_id)


def test_a_new_plan_and_an_override_count_at_once_on_the_backlog(
    two: list[Tenant], worker: Worker, run: Callable[..., Any]
) -> None:
    a, b = two
    assert worker.counted(20)[name(a)] == pytest.approx(10, abs=1)

    changed = run("plan", a, "--plan", "professional")
    assert (changed["plan"], changed["reached_queue"]) == ("professional", True)
    assert worker.counted(20)[name(a)] == pytest.approx(15, abs=1)

    assert run("override", b, "--weight", "9")["overrides"] == {"weight": 9}
    assert worker.counted(20)[name(b)] == pytest.approx(15, abs=1)

    assert run("override", b, "--clear")["overrides"] == {}
    assert worker.counted(20)[name(b)] == pytest.approx(5, abs=1)


def test_a_cap_bounds_what_is_in_flight_at_once(
    two: list[Tenant], worker: Worker, run: Callable[..., Any]
) -> None:
    a, b = two
    run("override", a, "--cap", "1", "--soft-cap", "1")
    run("override", b, "--cap", "3", "--soft-cap", "3")
    reserved = FairQueue(worker.client, "analytics").reserve(20)
    assert Counter(job.tenant for job in reserved) == {name(a): 1, name(b): 3}

    assert run("override", b, "--soft-cap", "0")["overrides"] == {"cap": 3, "soft_cap": None}
    reserved = FairQueue(worker.client, "analytics").reserve(20)
    assert Counter(job.tenant for job in reserved) == {name(b): 20}


def test_a_smaller_backlog_is_refused_at_once(
    two: list[Tenant], run: Callable[..., Any], database: Database, publisher: Publisher
) -> None:
    run("override", two[0], "--max-backlog", "60")
    tenant = load_tenant(database, two[0].organization_id)
    assert tenant is not None
    with pytest.raises(Exception, match="60 jobs wait"):
        submit(database, tenant, rollups(1), publisher=publisher)


def test_a_paused_organization_waits_and_the_others_go_on(
    two: list[Tenant], worker: Worker, run: Callable[..., Any]
) -> None:
    a, b = two
    run("pause", a)
    assert worker.counted(20) == {name(b): 20}
    lanes = {lane["lane"]: lane for lane in run("show", a)["lanes"]}
    assert (lanes["analytics"]["paused"], lanes["analytics"]["waiting"]) == (True, 60)

    assert run("resume", a)["overrides"] == {}
    assert worker.counted(20)[name(a)] == pytest.approx(10, abs=1)


def test_a_paused_kind_waits_and_the_organizations_other_kinds_go_on(
    database: Database,
    organization: Callable[..., Tenant],
    publisher: Publisher,
    worker: Worker,
    run: Callable[..., Any],
) -> None:
    tenant = organization()
    train = [Submission(TRAIN_MODEL, TrainModel()) for _ in range(5)]
    score = [Submission(SCORE_LEADS, ScoreLeads(all=True, limit=1)) for _ in range(5)]
    submit(database, tenant, [*train, *score], publisher=publisher)

    run("pause", tenant, "--kind", "leads.train_model")
    assert len(worker.serve(10, "scoring")) == 5
    document = run("show", tenant)
    [scoring] = [lane for lane in document["lanes"] if lane["lane"] == "scoring"]
    assert (scoring["waiting"], scoring["put_aside"]) == (0, 5)
    assert scoring["paused_kinds"] == document["terms"]["paused_kinds"] == ["leads.train_model"]

    assert run("resume", tenant, "--kind", "leads.train_model")["overrides"] == {}
    assert len(worker.serve(10, "scoring")) == 5


def test_a_pause_outlives_the_queue(
    two: list[Tenant],
    worker: Worker,
    run: Callable[..., Any],
    database: Database,
    relay_database: RelayDatabase,
    publisher: Publisher,
    organization: Callable[..., Tenant],
) -> None:
    a, b = two
    idle = organization(name="idle")
    run("pause", a)
    run("pause", idle, "--kind", "analytics.rollup")
    worker.client.flushdb()
    assert run_pass(relay_database, publisher).rebuilt == 120

    submit(database, idle, rollups(5), publisher=publisher)
    assert worker.counted(80) == {name(b): 60}
    run("resume", a)
    assert worker.counted(80) == {name(a): 60}
    run("resume", idle, "--kind", "analytics.rollup")
    assert worker.counted(80) == {name(idle): 5}


def test_a_suspended_organizations_backlog_stays_until_it_is_active_again(
    two: list[Tenant], worker: Worker, run: Callable[..., Any]
) -> None:
    a, b = two
    assert run("suspend", a)["status"] == "suspended"
    assert worker.counted(20) == {name(b): 20}
    assert run("activate", a)["status"] == "active"
    assert worker.counted(20)[name(a)] == pytest.approx(10, abs=1)


def test_a_pause_lasts_through_a_suspension(
    two: list[Tenant], worker: Worker, run: Callable[..., Any]
) -> None:
    for verb in ("pause", "suspend", "activate"):
        run(verb, two[0])
    assert worker.counted(20) == {name(two[1]): 20}


def test_what_an_override_does_not_name_stays(
    organization: Callable[..., Tenant], database: Database, run: Callable[..., Any]
) -> None:
    tenant = organization()
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).plan_overrides = {"features": ["beta"]}
    run("pause", tenant)
    run("override", tenant, "--weight", "2", "--cap", "5")
    assert run("override", tenant, "--weight", "4")["overrides"] == {
        "features": ["beta"],
        "paused": True,
        "weight": 4,
        "cap": 5,
    }
    assert run("override", tenant, "--clear", "--cap", "7")["overrides"] == {
        "features": ["beta"],
        "paused": True,
        "cap": 7,
    }


def test_every_change_is_audited_with_who_made_it(
    organization: Callable[..., Tenant], database: Database, run: Callable[..., Any]
) -> None:
    tenant = organization()
    run("plan", tenant, "--plan", "enterprise")
    run("pause", tenant)
    with tenant_session(database, tenant.organization_id) as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.position)).all()
    assert [entry.detail for entry in entries[1:]] == [
        {"plan": ["professional", "enterprise"]},
        {"plan_overrides": [{}, {"paused": True}]},
    ]
    assert all((entry.actor or "").startswith("operator:") for entry in entries[1:])


def test_with_redis_away_it_is_recorded_and_says_that_the_relay_brings_it(
    two: list[Tenant],
    worker: Worker,
    environment: dict[str, str],
    database: Database,
    relay_database: RelayDatabase,
    publisher: Publisher,
) -> None:
    a, b = two
    away = environment | {"GENIUS_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    done = genius("tenant", "pause", "--org", name(a), "--json", environment=away)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["reached_queue"] is False
    assert "relay" in done.stderr
    shown = genius("tenant", "show", "--org", name(a), "--json", environment=away)
    assert (json.loads(shown.stdout)["lanes"], json.loads(shown.stdout)["terms"]["paused"]) == (None, True)

    run_pass(relay_database, publisher)
    assert worker.counted(20) == {name(b): 20}


def test_show_says_how_an_organization_stands(
    database: Database,
    organization: Callable[..., Tenant],
    publisher: Publisher,
    worker: Worker,
    run: Callable[..., Any],
    environment: dict[str, str],
) -> None:
    tenant = organization(plan="starter")
    delayed = Submission(ROLLUP, Rollup(), run_at=datetime.now(UTC) + timedelta(hours=1))
    submit(database, tenant, [*rollups(4), delayed], publisher=publisher)
    worker.serve(1)
    FairQueue(worker.client, "analytics").reserve(1)

    document = run("show", tenant)
    assert [lane["lane"] for lane in document["lanes"]] == list(LANES)
    lanes = {lane["lane"]: lane for lane in document["lanes"]}
    analytics = lanes["analytics"]
    assert (analytics["waiting"], analytics["delayed"], analytics["in_flight"]) == (2, 1, 1)
    assert analytics["worker_time_s"] == pytest.approx(2, abs=0.1)  # a second used and a second guessed
    assert 0 <= analytics["oldest_age_s"] < 60
    assert lanes["social"]["known"] is False
    assert document["terms"]["weight"] == 1

    read = genius("tenant", "show", "--org", name(tenant), environment=environment)
    for expected in ("starter", "25,000", "analytics", "in flight"):
        assert expected in read.stdout


@pytest.mark.parametrize(
    "arguments",
    [("show",), ("plan", "--plan", "starter"), ("override", "--weight", "2"), ("pause",), ("activate",)],
    ids=lambda arguments: arguments[0],
)
def test_an_organization_that_does_not_exist_is_named(
    arguments: tuple[str, ...], database: Database, environment: dict[str, str]
) -> None:
    assert database
    unknown: UUID = uuid7()
    verb, *options = arguments
    done = genius("tenant", verb, "--org", str(unknown), *options, environment=environment)
    assert done.exit_code == 1
    assert str(unknown) in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("override",), "--clear"),
        (("override", "--weight", "0"), "--weight"),
        (("pause", "--kind", "leads.dance"), "leads.dance"),
        (("plan", "--plan", "platinum"), "platinum"),
    ],
)
def test_a_wrong_option_is_named(arguments: tuple[str, ...], complaint: str) -> None:
    verb, *options = arguments
    done = genius("tenant", verb, "--org", str(uuid7()), *options, environment={})
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_all_lanes_learn_of_a_change(
    database: Database,
    organization: Callable[..., Tenant],
    publisher: Publisher,
    run: Callable[..., Any],
) -> None:
    tenant = organization()
    submit(database, tenant, [*rollups(1), Submission(ACCOUNT_QUOTA, AccountQuota())], publisher=publisher)
    run("override", tenant, "--weight", "11")
    assert {lane["weight"] for lane in run("show", tenant)["lanes"]} == {11.0}
