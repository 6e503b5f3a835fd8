"""Each post is published once, whatever breaks: against the stand-in server over HTTP."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import select, update
from uuid_utils.compat import uuid7

from config.settings import ROOT
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import AccountStatus, PostState, SocialAccount, SocialPost
from tasks.payloads import PublishPost
from tasks.social_posting.job import publish
from tests.integration.families.crash import STEPS
from tests.integration.families.stand_in import StandIn
from worker.context import Completion, JobCancelledError, LeaseLostError, PermanentJobError, RetryLaterError

RunOutside = Callable[..., Completion]
Organize = Callable[..., Tenant]

PLATFORMS = ["bluesky", "mastodon"]
on_every_platform = pytest.mark.parametrize("platform", PLATFORMS)


def post_of(database: Database, tenant: Tenant, post_id: UUID) -> SocialPost:
    with tenant_session(database, tenant.organization_id) as session:
        return session.execute(select(SocialPost).where(SocialPost.id == post_id)).scalar_one()


def account_of(database: Database, tenant: Tenant) -> SocialAccount:
    with tenant_session(database, tenant.organization_id) as session:
        return session.execute(select(SocialAccount)).scalar_one()


class Posting:
    """One account of one tenant on one platform, and jobs that post to it."""

    def __init__(
        self,
        database: Database,
        tenant: Tenant,
        stand_in: StandIn,
        run_outside: RunOutside,
        platform: str,
        **grant: float,
    ) -> None:
        self.database, self.tenant, self.stand_in, self._run = database, tenant, stand_in, run_outside
        self.platform = platform
        self.account = stand_in.connect(database, tenant, platform, "shop.test", **grant)

    def publish(self, job_id: UUID, text: str = "Spring sale", **details: object) -> Completion:
        payload = PublishPost(account_id=self.account.id, text=text)
        return self._run(self.tenant, publish, payload, job_id=job_id, **details)

    def post(self, job_id: UUID) -> SocialPost:
        return post_of(self.database, self.tenant, job_id)

    def let_the_limit_pass(self) -> None:
        with tenant_session(self.database, self.tenant.organization_id) as session:
            session.execute(update(SocialAccount).values(rate_limited_until=None))

    @property
    def texts(self) -> list[str]:
        return self.stand_in.texts(self.platform, "shop.test")

    def plant(self, kind: str, **details: object) -> None:
        self.stand_in.plant(self.platform, kind, **details)


@pytest.fixture
def posting(
    database: Database, organization: Organize, stand_in: StandIn, run_outside: RunOutside
) -> Callable[..., Posting]:
    def make(platform: str, **grant: float) -> Posting:
        return Posting(database, organization(), stand_in, run_outside, platform, **grant)

    return make


@on_every_platform
def test_a_post_is_published_with_its_remote_id(posting: Callable[..., Posting], platform: str) -> None:
    place, job_id = posting(platform), uuid7()
    completion = place.publish(job_id, "Spring sale: https://example.org ☀️")
    post = place.post(job_id)
    assert place.texts == ["Spring sale: https://example.org ☀️"]
    assert (post.state, post.error_class) == (PostState.PUBLISHED, None)
    assert post.remote_id == completion.result["remote_id"]
    assert post.remote_url
    assert post.published_at


@on_every_platform
def test_running_a_published_job_again_posts_nothing(posting: Callable[..., Posting], platform: str) -> None:
    place, job_id = posting(platform), uuid7()
    first = place.publish(job_id)
    assert place.publish(job_id) == first
    assert len(place.texts) == 1


@on_every_platform
@pytest.mark.parametrize(
    "fault", ["drop_after", "drop_before", "server_error", "server_error_after", "garbled"]
)
def test_an_unknown_outcome_is_probed_and_the_post_stands_once(
    posting: Callable[..., Posting], platform: str, fault: str
) -> None:
    place, job_id = posting(platform), uuid7()
    place.plant(fault)
    with pytest.raises(RetryLaterError) as caught:
        place.publish(job_id)
    assert caught.value.after is not None
    assert place.post(job_id).state == PostState.UNKNOWN
    place.publish(job_id)
    assert place.texts == ["Spring sale"]
    assert place.post(job_id).state == PostState.PUBLISHED


@on_every_platform
def test_while_the_probe_fails_nothing_is_posted(posting: Callable[..., Posting], platform: str) -> None:
    place, job_id = posting(platform), uuid7()
    place.plant("drop_after")
    place.plant("server_error", operation="probe", times=3)
    for _ in range(4):
        with pytest.raises(RetryLaterError):
            place.publish(job_id)
        assert place.post(job_id).state == PostState.UNKNOWN
    place.publish(job_id)
    assert place.stand_in.state(platform, "shop.test")["calls"]["publish"] == 1
    assert place.texts == ["Spring sale"]


def test_a_server_that_ignores_idempotency_keys_still_gets_the_post_once(
    posting: Callable[..., Posting],
) -> None:
    place, job_id = posting("mastodon"), uuid7()
    place.stand_in.behave(honours_idempotency=False)
    place.plant("drop_after")
    with pytest.raises(RetryLaterError):
        place.publish(job_id, "Café & <Crème> 5 €\n\nnew line")
    place.publish(job_id, "Café & <Crème> 5 €\n\nnew line")
    assert len(place.texts) == 1


def test_a_probe_does_not_take_an_older_post_of_the_same_text_for_this_one(
    posting: Callable[..., Posting],
) -> None:
    place, first, second = posting("mastodon"), uuid7(), uuid7()
    place.publish(first)
    place.plant("drop_before")
    with pytest.raises(RetryLaterError):
        place.publish(second)
    place.publish(second)
    assert place.texts == ["Spring sale", "Spring sale"]
    assert place.post(first).remote_id != place.post(second).remote_id


@on_every_platform
@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_any_step_leaves_one_post(
    posting: Callable[..., Posting], environment: dict[str, str], stand_in: StandIn, platform: str, step: str
) -> None:
    place, job_id = posting(platform), uuid7()
    stand_in.behave(honours_idempotency=False)
    command = [sys.executable, "-m", "tests.integration.families.crash"]
    arguments = [str(place.tenant.organization_id), str(job_id), str(place.account.id), "Spring sale", step]
    child = subprocess.run(  # noqa: S603 - our own module
        [*command, *arguments],
        cwd=ROOT,
        env=environment | {"GENIUS_STAND_IN_URL": stand_in.url},
        check=False,
        timeout=60,
    )
    assert child.returncode == -9
    place.publish(job_id)
    assert place.texts == ["Spring sale"]
    assert place.post(job_id).state == PostState.PUBLISHED


@on_every_platform
def test_a_rate_limit_waits_until_the_platform_says(posting: Callable[..., Posting], platform: str) -> None:
    place, job_id = posting(platform), uuid7()
    place.plant("rate_limit", seconds=120.0)
    with pytest.raises(RetryLaterError) as caught:
        place.publish(job_id)
    assert caught.value.after is not None
    assert 110 < caught.value.after.total_seconds() <= 122
    assert place.post(job_id).state == PostState.QUEUED
    with pytest.raises(RetryLaterError, match="takes no more of this account") as held_back:
        place.publish(uuid7(), "another of the account")
    assert held_back.value.after is not None
    assert 110 < held_back.value.after.total_seconds() <= 122
    assert place.stand_in.state(platform, "shop.test")["calls"]["publish"] == 1
    place.let_the_limit_pass()
    place.publish(job_id)
    assert len(place.texts) == 1


@on_every_platform
def test_a_real_limit_refuses_what_passes_it(posting: Callable[..., Posting], platform: str) -> None:
    place = posting(platform)
    place.stand_in.change(platform, "shop.test", points=6 if platform == "bluesky" else 2, window_seconds=60)
    place.publish(uuid7(), "one")
    place.publish(uuid7(), "two")
    with pytest.raises(RetryLaterError):
        place.publish(uuid7(), "three")
    assert place.texts == ["one", "two"]


def test_an_expired_token_is_refreshed_and_the_post_goes_out(posting: Callable[..., Posting]) -> None:
    place = posting("bluesky")
    place.stand_in.change("bluesky", "shop.test", expire_tokens=True)
    place.publish(uuid7())
    assert len(place.texts) == 1
    assert account_of(place.database, place.tenant).token_version == 1


def test_a_token_about_to_expire_is_refreshed_before_it_is_used(posting: Callable[..., Posting]) -> None:
    place = posting("bluesky", token_seconds=30)
    place.publish(uuid7())
    calls = place.stand_in.state("bluesky", "shop.test")["calls"]
    assert calls == {"refresh": 1, "publish": 1}


def test_many_posts_at_once_refresh_one_token_once(posting: Callable[..., Posting]) -> None:
    place = posting("bluesky")
    place.stand_in.change("bluesky", "shop.test", expire_tokens=True)
    together = threading.Barrier(5)

    def post(number: int) -> None:
        together.wait()
        place.publish(uuid7(), f"post {number}")

    with ThreadPoolExecutor(5) as threads:
        list(threads.map(post, range(5)))
    assert sorted(place.texts) == [f"post {number}" for number in range(5)]
    assert place.stand_in.state("bluesky", "shop.test")["calls"]["refresh"] == 1


def test_a_refresh_that_fails_in_passing_does_not_disconnect_the_account(
    posting: Callable[..., Posting],
) -> None:
    place, job_id = posting("bluesky"), uuid7()
    place.stand_in.change("bluesky", "shop.test", expire_tokens=True)
    place.plant("server_error", operation="refresh")
    with pytest.raises(RetryLaterError):
        place.publish(job_id)
    assert account_of(place.database, place.tenant).status == AccountStatus.ACTIVE
    place.publish(job_id)
    assert len(place.texts) == 1


def test_a_refused_refresh_asks_the_owner_to_connect_again(posting: Callable[..., Posting]) -> None:
    place, job_id = posting("bluesky"), uuid7()
    place.stand_in.change("bluesky", "shop.test", expire_tokens=True)
    place.plant("expired_token", operation="refresh")
    with pytest.raises(PermanentJobError):
        place.publish(job_id)
    account = account_of(place.database, place.tenant)
    assert (account.status, place.post(job_id).state) == (
        AccountStatus.NEEDS_REAUTH,
        PostState.BLOCKED_REAUTH,
    )
    assert account.status_detail


def test_a_revoked_mastodon_token_asks_the_owner_to_connect_again(posting: Callable[..., Posting]) -> None:
    place, job_id = posting("mastodon"), uuid7()
    place.stand_in.change("mastodon", "shop.test", expire_tokens=True)
    with pytest.raises(PermanentJobError):
        place.publish(job_id)
    assert account_of(place.database, place.tenant).status == AccountStatus.NEEDS_REAUTH


@on_every_platform
def test_a_takedown_pauses_the_account_and_later_posts_are_not_sent(
    posting: Callable[..., Posting], platform: str
) -> None:
    place, job_id = posting(platform), uuid7()
    place.plant("takedown")
    with pytest.raises(PermanentJobError):
        place.publish(job_id)
    assert account_of(place.database, place.tenant).status == AccountStatus.PAUSED
    with pytest.raises(PermanentJobError, match="connect it again"):
        place.publish(uuid7())
    assert place.stand_in.state(platform, "shop.test")["calls"]["publish"] == 1


@on_every_platform
def test_a_post_that_is_too_long_is_refused_before_anything_is_sent(
    posting: Callable[..., Posting], platform: str
) -> None:
    place, job_id = posting(platform), uuid7()
    with pytest.raises(PermanentJobError, match="501 characters"):
        place.publish(job_id, "x" * 501)
    assert place.post(job_id).state == PostState.FAILED_PERMANENT
    assert place.stand_in.state(platform, "shop.test")["calls"] == {}
    with pytest.raises(PermanentJobError, match="edit it"):
        place.publish(job_id, "x" * 501)


@on_every_platform
def test_a_cancelled_job_sends_nothing(posting: Callable[..., Posting], platform: str) -> None:
    place, job_id = posting(platform), uuid7()
    answers = iter([None, JobCancelledError("cancelled")])

    def check() -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    with pytest.raises(JobCancelledError):
        place.publish(job_id, check=check)
    assert place.post(job_id).state == PostState.CANCELLED
    assert place.texts == []


@on_every_platform
def test_a_worker_that_lost_its_lease_sends_nothing(posting: Callable[..., Posting], platform: str) -> None:
    place, job_id = posting(platform), uuid7()

    def check() -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        place.publish(job_id, check=check)
    assert place.texts == []


def test_another_tenants_account_does_not_exist(
    posting: Callable[..., Posting], organization: Organize, run_outside: RunOutside
) -> None:
    place = posting("bluesky")
    payload = PublishPost(account_id=place.account.id, text="mine now")
    with pytest.raises(PermanentJobError, match="no account"):
        run_outside(organization(), publish, payload)
    assert place.texts == []


def test_a_platform_without_a_probe_waits_for_a_person(
    posting: Callable[..., Posting], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, job_id = posting("mastodon"), uuid7()
    monkeypatch.setattr("tasks.social_posting.mastodon.Mastodon.can_probe", False)
    place.plant("drop_after")
    with pytest.raises(RetryLaterError):
        place.publish(job_id)
    for _ in range(2):
        with pytest.raises(PermanentJobError):
            place.publish(job_id)
    assert place.post(job_id).state == PostState.PARKED_UNCONFIRMED
    assert len(place.texts) == 1


def test_no_token_stands_in_the_database_in_clear(posting: Callable[..., Posting]) -> None:
    place = posting("bluesky")
    row = account_of(place.database, place.tenant)
    grant = place.stand_in._ask("POST", "accounts", platform="bluesky", handle="shop.test").json()  # noqa: SLF001 - the raw answer
    assert row.access_token_encrypted is not None
    assert grant["access_token"].encode() not in row.access_token_encrypted
    assert len(row.access_token_encrypted) == 1 + 4 + 12 + len(grant["access_token"]) + 16
