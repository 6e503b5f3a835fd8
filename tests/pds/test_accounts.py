"""What a real server says of accounts and limits, and what becomes of their posts: through real workers."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update

from config.settings import Settings
from models.job import JobEvent
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import AccountStatus, PostState, SocialAccount, SocialPost
from tasks.catalog import DELETE_POST, PUBLISH_POST
from tasks.payloads import DeletePost, PublishPost
from tests.pds.server import Owner, Server
from tests.support import outcome
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.submit import Submission, submit

Connect = Callable[[Tenant, Server, Owner], SocialAccount]
Organize = Callable[..., Tenant]

HOUR_S = 40
"""The server's "hour" in the test of its limit: long enough to use up five thousand points within it."""
POINTS, PER_CREATE, PER_PUT = 5_000, 3, 2
SOON = {"GENIUS_RELAY_INTERVAL": "0.5"}


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    return Publisher(settings)


def stored_posts(
    database: Database, tenant: Tenant, account: SocialAccount, texts: list[str]
) -> list[Submission]:
    """Store posts in their order, a second apart, and return the jobs that publish them."""
    start = datetime.now(UTC) - timedelta(hours=1)
    with tenant_session(database, tenant.organization_id) as session:
        posts = [
            SocialPost(
                organization_id=tenant.organization_id,
                account_id=account.id,
                platform=account.platform,
                state=PostState.QUEUED,
                body=text,
                scheduled_at=start + timedelta(seconds=number),
            )
            for number, text in enumerate(texts)
        ]
        session.add_all(posts)
        session.flush()
        return [Submission(PUBLISH_POST, PublishPost(post_id=post.id)) for post in posts]


def send(database: Database, tenant: Tenant, work: list[Submission], publisher: Publisher) -> None:
    """Submit the jobs and note them with their posts, as the intake does."""
    jobs = submit(database, tenant, work, publisher=publisher)
    with tenant_session(database, tenant.organization_id) as session:
        for job, submission in zip(jobs, work, strict=True):
            post_id = submission.payload.post_id
            session.execute(update(SocialPost).where(SocialPost.id == post_id).values(job_id=job.id))


def start_worker(services: Services, pds: Server, *, concurrency: int = 2) -> None:
    environment = SOON | {"GENIUS_TRUSTED_SERVERS": f'["{pds.url}"]'}
    services.worker(environment=environment, queues=("social",), concurrency=concurrency, pool="threads")


def account_of(database: Database, tenant: Tenant, account_id: UUID) -> SocialAccount:
    with tenant_session(database, tenant.organization_id) as session:
        return session.scalars(select(SocialAccount).where(SocialAccount.id == account_id)).one()


def posts_of(database: Database, tenant: Tenant) -> list[SocialPost]:
    with tenant_session(database, tenant.organization_id) as session:
        return list(session.scalars(select(SocialPost).order_by(SocialPost.scheduled_at)))


def test_the_posts_of_two_tenants_with_three_accounts_each_keep_their_order(
    pds: Server,
    database: Database,
    organization: Organize,
    connect: Connect,
    services: Services,
    publisher: Publisher,
) -> None:
    tenants = [organization(plan="enterprise", name=name) for name in ("Acme", "Globex")]
    texts = [f"post {number:02}" for number in range(10)]
    lines = []
    for place, tenant in enumerate(tenants):
        for number in range(3):
            owner = pds.register(f"order{place}{number}-{time.time_ns() % 10**9}.test")
            lines.append((tenant, connect(tenant, pds, owner), owner))
    work = {line[2].did: stored_posts(database, line[0], line[1], texts) for line in lines}
    for tenant, _, owner in lines:
        # The last first: only what holds posts in their order makes it right.
        send(database, tenant, work[owner.did][::-1], publisher)
    start_worker(services, pds, concurrency=6)
    wait_until(lambda: outcome.all_ended(database, tenants), timeout=120)
    for tenant, _, owner in lines:
        assert pds.texts(owner) == texts, tenant.name
    for tenant in tenants:
        assert outcome.states(database, tenant) == {"succeeded": 30}


@pytest.mark.timeout(400)
def test_what_passes_the_servers_limit_waits_for_the_reset_and_none_is_lost(
    start_pds: Callable[..., Server],
    database: Database,
    organization: Organize,
    connect: Connect,
    services: Services,
    publisher: Publisher,
) -> None:
    """A post takes two points by our way of posting and three by others': the rest is used up by others."""
    pds = start_pds(PDS_RATE_LIMITS_ENABLED="1", PDS_HOUR_SECONDS=str(HOUR_S))
    tenant = organization(plan="enterprise")
    owner = pds.register("busy-shop.test")
    account = connect(tenant, pds, owner)
    start_worker(services, pds, concurrency=2)
    elsewhere = (POINTS - 1) // PER_CREATE  # 1,666 posts: the 1,667th of this kind would be refused
    began_at = time.time()
    pds.fill(owner, elsewhere)
    left = (POINTS - elsewhere * PER_CREATE) // PER_PUT
    texts = [f"post {number}" for number in range(6)]
    send(database, tenant, stored_posts(database, tenant, account, texts), publisher)
    wait_until(lambda: account_of(database, tenant, account.id).rate_limited_until, timeout=60)
    known = datetime.now(UTC)
    until = account_of(database, tenant, account.id).rate_limited_until
    assert until is not None
    assert abs(until.timestamp() - (began_at + HOUR_S)) < HOUR_S / 2
    ours = [text for text in pds.texts(owner) if text in texts]
    assert ours == texts[:left]
    assert datetime.now(UTC) < until
    wait_until(lambda: outcome.all_ended(database, [tenant]), timeout=HOUR_S + 90)
    assert outcome.states(database, tenant) == {"succeeded": len(texts)}
    ours = [text for text in pds.texts(owner) if text in texts]
    assert ours == texts
    late = [post for post in posts_of(database, tenant) if post.published_at > until]
    assert len(late) == len(texts) - left
    # Held back by what the account is known to wait for: nobody looks again and again.
    while_limited = (JobEvent.state == "running") & JobEvent.at.between(known, until - timedelta(seconds=1))
    with tenant_session(database, tenant.organization_id) as session:
        looks = Counter(session.scalars(select(JobEvent.job_id).where(while_limited)))
    assert max(looks.values(), default=0) <= 2


def test_a_takedown_pauses_the_account_and_its_end_lets_the_post_out(
    pds: Server,
    database: Database,
    organization: Organize,
    connect: Connect,
    services: Services,
    publisher: Publisher,
) -> None:
    tenant = organization(plan="enterprise")
    owner = pds.register(f"taken{time.time_ns() % 10**9}.test")
    account = connect(tenant, pds, owner)
    start_worker(services, pds, concurrency=2)
    pds.take_down(owner)
    send(database, tenant, stored_posts(database, tenant, account, ["one", "two"]), publisher)
    wait_until(lambda: outcome.all_ended(database, [tenant]), timeout=60)
    found = account_of(database, tenant, account.id)
    assert found.status == AccountStatus.PAUSED, found.status_detail
    assert found.status_detail
    assert {post.state for post in posts_of(database, tenant)} == {PostState.BLOCKED_REAUTH}

    pds.take_down(owner, applied=False)
    assert pds.texts(owner) == []
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(SocialAccount).values(status=AccountStatus.ACTIVE, status_detail=None))
        session.execute(update(SocialPost).values(state=PostState.QUEUED))
    again = [Submission(PUBLISH_POST, PublishPost(post_id=post.id)) for post in posts_of(database, tenant)]
    send(database, tenant, again, publisher)
    wait_until(lambda: outcome.all_ended(database, [tenant]), timeout=60)
    assert pds.texts(owner) == ["one", "two"]

    posts = posts_of(database, tenant)
    removal = Submission(DELETE_POST, DeletePost(post_id=posts[0].id, erase=True))
    submit(database, tenant, [removal], publisher=publisher)
    wait_until(lambda: outcome.all_ended(database, [tenant]), timeout=60)
    assert pds.texts(owner) == ["two"]
    with tenant_session(database, tenant.organization_id) as session:
        gone = session.scalars(
            select(SocialPost).where(SocialPost.id == posts[0].id).execution_options(include_deleted=True)
        ).one()
    assert (gone.state, gone.body, gone.frozen_body) == (PostState.REMOVED, "", None)


def test_revoked_tokens_ask_the_owner_to_connect_again(
    pds: Server,
    database: Database,
    organization: Organize,
    connect: Connect,
    services: Services,
    publisher: Publisher,
) -> None:
    tenant = organization(plan="enterprise")
    owner = pds.register(f"revoked{time.time_ns() % 10**9}.test")
    account = connect(tenant, pds, owner)
    # What revoking an app password does: the session's refresh token is no longer good.
    pds.revoke(owner)
    with tenant_session(database, tenant.organization_id) as session:
        past = datetime.now(UTC) - timedelta(minutes=1)
        session.execute(update(SocialAccount).values(expires_at=past))
    start_worker(services, pds, concurrency=2)
    send(database, tenant, stored_posts(database, tenant, account, ["one"]), publisher)
    wait_until(lambda: outcome.all_ended(database, [tenant]), timeout=60)
    found = account_of(database, tenant, account.id)
    assert found.status == AccountStatus.NEEDS_REAUTH, found.status_detail
    assert [post.state for post in posts_of(database, tenant)] == [PostState.BLOCKED_REAUTH]
    assert pds.texts(owner) == []
