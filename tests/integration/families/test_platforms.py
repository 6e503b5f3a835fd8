"""On every platform each error class leads to the state it should, and no post goes out twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from uuid_utils.compat import uuid7

from config.settings import Settings, get_settings
from models.organization import Tenant
from models.session import Database
from models.social import AccountStatus, PlatformName, PostState
from tasks.vault import get_vault
from tests.integration.families.place import Place
from tests.integration.families.stand_in import StandIn, run_stand_in
from worker.context import Completion, JobError, PermanentJobError, RetryLaterError

PLATFORMS = [name.value for name in PlatformName]
PUBLIC_URL = "https://media.example"

on_every_platform = pytest.mark.parametrize("platform", PLATFORMS)


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with run_stand_in() as server:
        yield server


Make = Callable[..., Place]


@pytest.fixture
def place(
    database: Database,
    organization: Callable[..., Tenant],
    run_outside: Callable[..., Completion],
    settings: Settings,
    server: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Make]:
    del settings
    monkeypatch.setenv("GENIUS_STAND_IN_URL", server.url)
    monkeypatch.setenv("GENIUS_PUBLIC_URL", PUBLIC_URL)
    get_settings.cache_clear()
    get_vault.cache_clear()
    yield lambda platform, **grant: Place(database, organization(), server, run_outside, platform, grant)
    server.behave(unreadable=[], processing_seconds=0, listing_seconds=0)
    get_settings.cache_clear()
    get_vault.cache_clear()


@dataclass(frozen=True)
class Outcome:
    """What an error class leads to."""

    raises: type[JobError]
    post: PostState
    account: AccountStatus
    error_class: str


AGAIN = Outcome(RetryLaterError, PostState.QUEUED, AccountStatus.ACTIVE, "retry")
LIMITED = Outcome(RetryLaterError, PostState.QUEUED, AccountStatus.ACTIVE, "rate_limited")
STALE = Outcome(RetryLaterError, PostState.QUEUED, AccountStatus.ACTIVE, "stale_intent")
OPEN = Outcome(RetryLaterError, PostState.UNKNOWN, AccountStatus.ACTIVE, "unknown_outcome")
REAUTH = Outcome(PermanentJobError, PostState.BLOCKED_REAUTH, AccountStatus.NEEDS_REAUTH, "reauth")
BLOCKED = Outcome(PermanentJobError, PostState.BLOCKED_REAUTH, AccountStatus.PAUSED, "account_blocked")
REFUSED = Outcome(PermanentJobError, PostState.FAILED_PERMANENT, AccountStatus.ACTIVE, "permanent_content")

CASES = {
    "moved": (AGAIN, PLATFORMS),
    "rate_limit": (LIMITED, PLATFORMS),
    "drop_before": (OPEN, PLATFORMS),
    "drop_after": (OPEN, PLATFORMS),
    "server_error": (OPEN, PLATFORMS),
    "server_error_after": (OPEN, PLATFORMS),
    "garbled": (OPEN, PLATFORMS),
    "stale": (STALE, ["bluesky", "x", "instagram", "threads"]),
    "revoked": (REAUTH, PLATFORMS),
    "expired_token": (REAUTH, ["mastodon", "facebook"]),
    "takedown": (BLOCKED, PLATFORMS),
    "refused": (REFUSED, PLATFORMS),
    "duplicate": (REFUSED, ["x", "linkedin", "facebook"]),
}
"""What goes wrong, what it leads to, and the platforms on which it can."""


@on_every_platform
def test_each_error_leads_to_its_state_and_the_post_stands_at_most_once(
    place: Make, platform: str, subtests: pytest.Subtests
) -> None:
    for fault, (outcome, platforms) in CASES.items():
        if platform in platforms:
            with subtests.test(fault=fault):
                check_error(place(platform), fault, outcome)


def check_error(here: Place, fault: str, outcome: Outcome) -> None:
    job_id = uuid7()
    here.plant(fault, seconds=120.0)
    with pytest.raises(outcome.raises):
        here.publish(job_id)
    post = here.post(job_id)
    assert (post.state, post.error_class) == (outcome.post, outcome.error_class)
    assert here.account.status == outcome.account
    if outcome.raises is PermanentJobError:
        with pytest.raises(PermanentJobError):
            here.publish(job_id)
        assert here.texts == []
        assert here.calls["publish"] == 1
        return
    here.end_rate_limit()
    here.publish(job_id)
    assert here.texts == ["Spring sale"]
    assert here.post(job_id).state == PostState.PUBLISHED


@pytest.mark.parametrize("platform", ["bluesky", "x", "linkedin", "instagram", "threads"])
def test_an_expired_token_is_refreshed_once_and_the_post_goes_out(place: Make, platform: str) -> None:
    here, job_id = place(platform), uuid7()
    here.plant("expired_token")
    here.publish(job_id)
    assert here.texts == ["Spring sale"]
    assert here.account.token_version == 1
    assert here.calls["refresh"] == 1


@pytest.mark.parametrize("platform", ["bluesky", "x", "linkedin", "instagram", "threads"])
def test_a_refused_refresh_asks_the_owner_to_connect_again(place: Make, platform: str) -> None:
    here, job_id = place(platform), uuid7()
    here.plant("expired_token")
    here.plant("expired_token", operation="refresh")
    with pytest.raises(PermanentJobError):
        here.publish(job_id)
    assert here.account.status == AccountStatus.NEEDS_REAUTH
    assert here.post(job_id).state == PostState.BLOCKED_REAUTH


@pytest.mark.parametrize("platform", ["x", "linkedin", "instagram", "threads"])
def test_a_refresh_that_fails_in_passing_does_not_disconnect_the_account(
    place: Make, platform: str, subtests: pytest.Subtests
) -> None:
    for fault in ("server_error", "rate_limit", "drop_before"):
        with subtests.test(fault=fault):
            here, job_id = place(platform), uuid7()
            here.plant("expired_token")
            here.plant(fault, operation="refresh")
            with pytest.raises(RetryLaterError):
                here.publish(job_id)
            assert here.account.status == AccountStatus.ACTIVE
            here.end_rate_limit()
            here.publish(job_id)
            assert here.texts == ["Spring sale"]


@on_every_platform
def test_the_wait_after_a_rate_limit_is_what_the_platform_said(place: Make, platform: str) -> None:
    here = place(platform)
    here.plant("rate_limit", seconds=600.0)
    before = datetime.now(UTC)
    with pytest.raises(RetryLaterError) as caught:
        here.publish(uuid7())
    after = caught.value.after
    assert after is not None
    around = [before, datetime.now(UTC)]  # at midnight a new day of LinkedIn's may have begun between them
    expected = [to_midnight(now) if platform == "linkedin" else timedelta(seconds=600) for now in around]
    assert min(abs(after - each) for each in expected) < timedelta(seconds=30)


def to_midnight(now: datetime) -> timedelta:
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1) - now


@on_every_platform
def test_while_the_platform_cannot_be_asked_nothing_is_posted(place: Make, platform: str) -> None:
    here, job_id = place(platform), uuid7()
    here.plant("drop_after")
    with pytest.raises(RetryLaterError):
        here.publish(job_id)
    here.plant("server_error", operation="probe", times=2)
    for _ in range(2):
        with pytest.raises(RetryLaterError):
            here.publish(job_id)
        assert here.post(job_id).state == PostState.UNKNOWN
    here.publish(job_id)
    assert here.texts == ["Spring sale"]
    assert here.calls["publish"] == 1


@pytest.mark.parametrize("platform", ["linkedin", "instagram", "threads"])
def test_a_text_with_everything_a_platform_rewrites_is_found_again(place: Make, platform: str) -> None:
    text = "Café & <b> (50 %) #1 _a_ https://example.org/ä?b=1&c=2 example.com 👩‍👩‍👧‍👦\n\nnew line"
    here, job_id = place(platform), uuid7()
    here.plant("drop_after")
    with pytest.raises(RetryLaterError):
        here.publish(job_id, text)
    here.publish(job_id, text)
    assert here.texts == [text]


@pytest.mark.parametrize("platform", ["x", "facebook"])
def test_an_older_post_of_another_text_is_not_taken_for_this_one(place: Make, platform: str) -> None:
    here, job_id = place(platform), uuid7()
    here.publish(uuid7(), "Café & <b> https://example.org/a example.com")
    here.plant("drop_before")
    with pytest.raises(RetryLaterError):
        here.publish(job_id, "Café & <b> https://example.org/a elsewhere")
    here.publish(job_id, "Café & <b> https://example.org/a elsewhere")
    first, second = here.stand_in.state(platform, here.handle)["records"]
    assert here.post(job_id).remote_id == second["key"] != first["key"]


@pytest.mark.parametrize("platform", ["x", "linkedin", "facebook"])
def test_a_post_that_is_out_and_not_listed_yet_is_found_later_and_never_called_refused(
    place: Make, platform: str
) -> None:
    here, job_id = place(platform), uuid7()
    here.stand_in.behave(listing_seconds=3_600)
    here.plant("drop_after")
    for _ in range(3):
        with pytest.raises(RetryLaterError):
            here.publish(job_id)
        assert here.post(job_id).state == PostState.UNKNOWN
    here.stand_in.behave(listing_seconds=0)
    here.publish(job_id)
    assert here.texts == ["Spring sale"]
    assert here.post(job_id).state == PostState.PUBLISHED


SILENT = [
    pytest.param("linkedin", {"sort": "person"}, id="linkedin-person"),
    pytest.param("linkedin", {}, id="linkedin-without-permission"),
    pytest.param("x", {}, id="x-without-access"),
    pytest.param("facebook", {}, id="facebook-without-permission"),
]
"""Accounts that may post and not read what they posted."""


@pytest.mark.parametrize(("platform", "grant"), SILENT)
def test_an_account_that_cannot_be_asked_waits_for_a_person(
    place: Make, platform: str, grant: dict[str, str]
) -> None:
    for fault in ("drop_after", "drop_before"):
        here = place(platform, **grant)
        if not grant:
            here.stand_in.behave(unreadable=[platform])
        check_waits_for_a_person(here, fault)


def check_waits_for_a_person(here: Place, fault: str) -> None:
    job_id = uuid7()
    here.plant(fault)
    with pytest.raises(RetryLaterError):
        here.publish(job_id)
    for _ in range(3):
        with pytest.raises(PermanentJobError):
            here.publish(job_id)
        assert here.post(job_id).state == PostState.PARKED_UNCONFIRMED
    assert here.calls["publish"] == 1
    assert len(here.texts) == (1 if fault == "drop_after" else 0)


@pytest.mark.parametrize("step", ["after intent", "after remote commit"])
def test_a_crash_on_a_platform_without_a_probe_never_posts_by_itself_again(
    place: Make, environment: dict[str, str], server: StandIn, step: str
) -> None:
    here, job_id = place("linkedin", sort="person"), uuid7()
    here.crash(job_id, step, environment | {"GENIUS_STAND_IN_URL": server.url})
    posted = len(here.texts)
    assert posted == (1 if step == "after remote commit" else 0)
    for _ in range(3):
        with pytest.raises(PermanentJobError):
            here.publish(job_id)
    assert len(here.texts) == posted
    assert here.post(job_id).state == PostState.PARKED_UNCONFIRMED


@pytest.mark.parametrize("platform", ["x", "facebook", "instagram"])
def test_a_worker_killed_after_the_platform_published_leaves_one_post(
    place: Make, environment: dict[str, str], server: StandIn, platform: str
) -> None:
    here, job_id = place(platform), uuid7()
    told = {"GENIUS_STAND_IN_URL": server.url, "GENIUS_PUBLIC_URL": PUBLIC_URL}
    here.crash(job_id, "after remote commit", environment | told)
    here.publish(job_id)
    assert here.texts == ["Spring sale"]
    assert here.post(job_id).state == PostState.PUBLISHED


@pytest.mark.parametrize("platform", ["instagram", "threads"])
def test_a_post_waits_for_its_container_and_uses_no_other(place: Make, platform: str) -> None:
    here, job_id = place(platform), uuid7()
    here.stand_in.behave(processing_seconds=3_600)
    for _ in range(2):
        with pytest.raises(RetryLaterError) as caught:
            here.publish(job_id)
        assert caught.value.after is not None, "waiting for the platform must not use up an attempt"
    assert here.calls["prepare"] == 1
    assert here.post(job_id).state == PostState.QUEUED
    assert here.texts == []
