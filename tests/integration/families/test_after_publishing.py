"""What is done to a post that is out: its metrics fetched, taken back from the platform, erased."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update
from uuid_utils.compat import uuid7

from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import PostState, SocialAccount, SocialPost
from tasks.payloads import DeletePost, FetchMetrics, PublishPost
from tasks.social_posting.account import encrypt_anew, held_tokens
from tasks.social_posting.afterwards import delete_post, fetch_metrics
from tasks.social_posting.job import publish
from tasks.vault import Vault
from tests.integration.families.stand_in import StandIn, vault_of_this_test
from worker.context import Completion, PermanentJobError, RetryLaterError

RunOutside = Callable[..., Completion]
Organize = Callable[..., Tenant]
HANDLE = "shop.test"


@pytest.fixture
def tenant(organization: Organize) -> Tenant:
    return organization()


@pytest.fixture
def published(
    database: Database, tenant: Tenant, stand_in: StandIn, run_outside: RunOutside
) -> Callable[[str], UUID]:
    """Publish a post and return its id."""

    def make(platform: str) -> UUID:
        account = stand_in.connect(database, tenant, platform, HANDLE)
        post_id = uuid7()
        run_outside(tenant, publish, PublishPost(account_id=account.id, text="Spring sale"), job_id=post_id)
        return post_id

    return make


def post_of(database: Database, tenant: Tenant, post_id: UUID) -> SocialPost:
    with tenant_session(database, tenant.organization_id) as session:
        statement = select(SocialPost).where(SocialPost.id == post_id)
        return session.scalars(statement.execution_options(include_deleted=True)).one()


@pytest.mark.parametrize("platform", ["bluesky", "mastodon"])
def test_metrics_are_kept_with_the_post(
    database: Database,
    tenant: Tenant,
    published: Callable[[str], UUID],
    run_outside: RunOutside,
    platform: str,
) -> None:
    post_id = published(platform)
    completion = run_outside(tenant, fetch_metrics, FetchMetrics(post_id=post_id))
    post = post_of(database, tenant, post_id)
    assert completion.result["fetched"] is True
    assert post.metrics == completion.result["metrics"]
    assert post.metrics_at is not None
    assert set(post.metrics) >= {"likes", "replies", "reposts"}


@pytest.mark.parametrize("erase", [False, True])
@pytest.mark.parametrize("platform", ["bluesky", "mastodon"])
def test_a_removed_post_is_gone_there_and_here(
    database: Database,
    tenant: Tenant,
    published: Callable[[str], UUID],
    run_outside: RunOutside,
    stand_in: StandIn,
    platform: str,
    erase: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    post_id = published(platform)
    for _ in range(2):  # a job runs again when nobody knows how it ended
        completion = run_outside(tenant, delete_post, DeletePost(post_id=post_id, erase=erase))
    assert stand_in.texts(platform, HANDLE) == []
    post = post_of(database, tenant, post_id)
    assert (post.state, post.deleted_at is None) == (PostState.REMOVED, False)
    assert (post.body, post.frozen_body is None) == (("", True) if erase else ("Spring sale", False))
    assert completion.result["removed"] in (True, False)


def test_a_removal_that_fails_in_passing_is_tried_again(
    database: Database,
    tenant: Tenant,
    published: Callable[[str], UUID],
    run_outside: RunOutside,
    stand_in: StandIn,
) -> None:
    post_id = published("bluesky")
    stand_in.plant("bluesky", "server_error", operation="*")
    with pytest.raises(RetryLaterError):
        run_outside(tenant, delete_post, DeletePost(post_id=post_id))
    assert post_of(database, tenant, post_id).deleted_at is None
    run_outside(tenant, delete_post, DeletePost(post_id=post_id))
    assert stand_in.texts("bluesky", HANDLE) == []


def test_a_post_that_cannot_be_removed_by_us_says_where_it_is(
    database: Database, tenant: Tenant, published: Callable[[str], UUID], run_outside: RunOutside
) -> None:
    post_id = published("bluesky")
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(SocialAccount).values(access_token_encrypted=None))
    with pytest.raises(PermanentJobError, match="by hand at https://"):
        run_outside(tenant, delete_post, DeletePost(post_id=post_id))
    post = post_of(database, tenant, post_id)
    assert (post.state, post.error_class) == (PostState.PUBLISHED, "reauth")


def test_posts_of_one_account_wait_for_earlier_ones_and_no_worker_is_held(
    database: Database, tenant: Tenant, stand_in: StandIn, run_outside: RunOutside
) -> None:
    account = stand_in.connect(database, tenant, "bluesky", HANDLE)
    with tenant_session(database, tenant.organization_id) as session:
        row = session.scalars(select(SocialAccount)).one()
        soon = row.created_at + timedelta(days=1)
        post = SocialPost(
            organization_id=tenant.organization_id,
            account_id=account.id,
            platform="bluesky",
            state=PostState.QUEUED,
            body="tomorrow",
            scheduled_at=soon,
        )
        session.add(post)
        session.flush()
        post_id = post.id
    with pytest.raises(RetryLaterError, match="scheduled for later") as caught:
        run_outside(tenant, publish, PublishPost(post_id=post_id))
    assert caught.value.after is not None
    assert caught.value.after > timedelta(hours=23)
    assert stand_in.texts("bluesky", HANDLE) == []


def test_tokens_move_to_a_new_master_key_and_nothing_else_is_lost(
    database: Database, tenant: Tenant, stand_in: StandIn
) -> None:
    stand_in.connect(database, tenant, "bluesky", HANDLE)
    old = vault_of_this_test()
    masters = [b"a new master key of many bytes....", next(iter(old._masters.values()))]  # noqa: SLF001
    new, only_new = Vault(masters), Vault(masters[:1])
    with tenant_session(database, tenant.organization_id) as session:
        row = session.scalars(select(SocialAccount)).one()
        before = held_tokens(old, row).tokens
    with tenant_session(database, tenant.organization_id) as session:
        assert encrypt_anew(session, new) == 1
        assert encrypt_anew(session, new) == 0
    with tenant_session(database, tenant.organization_id) as session:
        row = session.scalars(select(SocialAccount)).one()
        assert held_tokens(only_new, row).tokens == before
