"""The four families through submit, queue and real worker processes."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from config.settings import Settings
from intake.ingest.event import EventBatch, EventBody, record_events
from models.job import Job
from models.lead import Lead
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import PostState, SocialPost
from tasks.catalog import ACCOUNT_QUOTA, PUBLISH_POST, ROLLUP, SCORE_LEADS, TRAIN_MODEL
from tasks.payloads import AccountQuota, PublishPost, Rollup, ScoreLeads, TrainModel
from tests.integration.families.beside import settle
from tests.integration.families.stand_in import StandIn
from tests.support import outcome
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.submit import Submission, submit

SHORT_LEASE = {"GENIUS_LEASE_TIME": "5", "GENIUS_RELAY_INTERVAL": "0.5"}


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    return Publisher(settings)


def results(database: Database, tenant: Tenant) -> dict[str, dict[str, object] | None]:
    with tenant_session(database, tenant.organization_id) as session:
        return {job.kind: job.result for job in session.scalars(select(Job))}


def test_every_family_runs_in_a_worker_and_is_charged(
    database: Database,
    organization: Callable[..., Tenant],
    services: Services,
    publisher: Publisher,
    stand_in: StandIn,
) -> None:
    tenant = organization()
    account = stand_in.connect(database, tenant, "bluesky", "shop.test")
    with tenant_session(database, tenant.organization_id) as session:
        session.add_all(Lead(organization_id=tenant.organization_id, company="Acme") for _ in range(3))
        event = EventBody(name="view", occurred_at=datetime.now(UTC))
        record_events(session, tenant.organization_id, EventBatch(events=(event,)))
    settle(database, tenant)
    services.worker(environment=SHORT_LEASE | {"GENIUS_STAND_IN_URL": stand_in.url})
    work = [
        Submission(PUBLISH_POST, PublishPost(account_id=account.id, text="hello")),
        Submission(SCORE_LEADS, ScoreLeads(all=True, limit=100)),
        Submission(TRAIN_MODEL, TrainModel()),
        Submission(ROLLUP, Rollup()),
        Submission(ACCOUNT_QUOTA, AccountQuota()),
    ]
    submit(database, tenant, work, publisher=publisher)
    wait_until(lambda: outcome.all_ended(database, [tenant]), timeout=60)
    assert outcome.states(database, tenant) == Counter(succeeded=5)
    found = results(database, tenant)
    assert found["leads.score"]["scored"] == 3
    assert found["leads.train_model"]["trained"] is False
    assert found["analytics.rollup"]["buckets"] == 1
    assert found["quota.account"]["drifted"] == 0
    assert stand_in.texts("bluesky", "shop.test") == ["hello"]
    assert outcome.quota(database, tenant, "leads_scored_month") == (3, 0)
    assert outcome.quota(database, tenant, "posts_month") == (1, 0)
    assert outcome.quota(database, tenant, "jobs_month") == (5, 0)


def test_posts_go_out_once_although_workers_are_killed_and_answers_are_lost(
    database: Database,
    organization: Callable[..., Tenant],
    services: Services,
    publisher: Publisher,
    stand_in: StandIn,
) -> None:
    tenant = organization()
    stand_in.behave(honours_idempotency=False)
    accounts = {
        name: stand_in.connect(database, tenant, name, "shop.test") for name in ("bluesky", "mastodon")
    }
    environment = SHORT_LEASE | {"GENIUS_STAND_IN_URL": stand_in.url}
    worker = services.worker(environment=environment, concurrency=4)
    services.beat(environment)
    for name in accounts:
        stand_in.plant(name, "drop_after", times=2)
        stand_in.plant(name, "slow", times=6, seconds=1.0)
    work = [
        Submission(PUBLISH_POST, PublishPost(account_id=account.id, text=f"post {number}"))
        for account in accounts.values()
        for number in range(12)
    ]
    submit(database, tenant, work, publisher=publisher)

    def published() -> int:
        return sum(len(stand_in.texts(name, "shop.test")) for name in accounts)

    for share in (4, 12):
        wait_until(lambda share=share: published() >= share, timeout=60)
        worker.kill()
        worker = services.worker(environment=environment, concurrency=4)
    wait_until(lambda: outcome.all_ended(database, [tenant]), timeout=120)
    assert outcome.states(database, tenant) == Counter(succeeded=24)
    for name in accounts:
        assert sorted(stand_in.texts(name, "shop.test")) == sorted(f"post {number}" for number in range(12))
    with tenant_session(database, tenant.organization_id) as session:
        posts = session.scalars(select(SocialPost)).all()
    assert {post.state for post in posts} == {PostState.PUBLISHED}
    assert len({post.remote_id for post in posts}) == 24
