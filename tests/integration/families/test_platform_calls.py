"""Each platform's calls beside publishing: media with alt text, films, deleting, counters, whose token."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from config.settings import get_settings
from models.social import PlatformName
from tasks.social_posting.content import Content, Medium
from tasks.social_posting.error import (
    NotOfferedError,
    PostGoneError,
    ReauthError,
    StaleIntentError,
    TokenExpiredError,
    TryAgainError,
)
from tasks.social_posting.platform import Account, Intent, Platform, Published
from tasks.social_posting.registry import PLATFORMS
from tests.integration.families.stand_in import StandIn, run_stand_in

EVERY = list(PlatformName)
CONTAINERS = (PlatformName.INSTAGRAM, PlatformName.THREADS)
FILMS = [name for name in EVERY if PLATFORMS[name].limits.films is not None]

on_every_platform = pytest.mark.parametrize("name", EVERY)


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with run_stand_in() as server:
        yield server


@pytest.fixture(autouse=True)
def _use(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GENIUS_STAND_IN_URL", server.url)
    get_settings.cache_clear()
    yield
    server.behave(processing_seconds=0)
    get_settings.cache_clear()


class Caller:
    """An account of this test's own, and calls as it."""

    def __init__(self, server: StandIn, name: PlatformName) -> None:
        self.server, self.platform = server, PLATFORMS[name]
        self.handle = f"{uuid7().hex[-12:]}.test"
        new = {"platform": name.value, "handle": self.handle}
        self.granted = server.http.post("/admin/accounts", json=new).raise_for_status().json()
        self.token = str(self.granted["access_token"])
        self.account = Account(UUID(int=1), name, self.handle, self.granted["identifier"], None)

    def upload(self, *media: Medium) -> list[str]:
        return [self.platform.upload(self.account, self.token, medium, count=len(media)) for medium in media]

    def prepare(self, content: Content, uploads: list[str]) -> Intent:
        return self.platform.prepare(self.account, self.token, content, uploads=uploads, at=datetime.now(UTC))

    def post(self, text: str, *media: Medium) -> Published:
        intent = self.prepare(Content(text, media), self.upload(*media))
        return self.platform.publish(self.account, self.token, intent)

    @property
    def records(self) -> list[dict[str, Any]]:
        state = self.server.state(self.platform.name.value, self.handle)
        records: list[dict[str, Any]] = state["records"]
        return records


def picture(alt_text: str = "a cat") -> Medium:
    return Medium(
        "image/jpeg", 4, alt_text, url="https://media.example/cat.jpg", read=lambda: b"\xff\xd8\xff\x00"
    )


def film(size: int = 9_000_000) -> Medium:
    return Medium(
        "video/mp4", size, "a dog", url="https://media.example/dog.mp4", read=lambda: b"\x00" * size
    )


@on_every_platform
def test_a_picture_arrives_with_its_alt_text(server: StandIn, name: PlatformName) -> None:
    caller = Caller(server, name)
    caller.post("one", picture())
    (record,) = caller.records
    assert record["text"] == "one"
    assert [medium["alt_text"] for medium in record["media"]] == ["a cat"]


@on_every_platform
def test_several_pictures_arrive_in_their_order(server: StandIn, name: PlatformName) -> None:
    caller = Caller(server, name)
    caller.post("three", picture("first"), picture("second"), picture("third"))
    (record,) = caller.records
    assert [medium["alt_text"] for medium in record["media"]] == ["first", "second", "third"]


@pytest.mark.parametrize("name", FILMS)
def test_a_film_goes_out_when_the_platform_is_done_with_it(server: StandIn, name: PlatformName) -> None:
    caller, content = Caller(server, name), Content("a film", (film(),))
    if name is PlatformName.BLUESKY:  # takes it as it is
        caller.post("a film", film())
        assert len(caller.records) == 1
        return
    server.behave(processing_seconds=3_600)
    uploads = caller.upload(*content.media)
    with pytest.raises(TryAgainError) as caught:
        caller.platform.publish(caller.account, caller.token, caller.prepare(content, uploads))
    assert caught.value.after is not None
    assert caller.records == []
    server.behave(processing_seconds=0)
    caller.post("a film", film())
    assert len(caller.records) == 1


@on_every_platform
def test_a_token_tells_which_account_it_is_of(server: StandIn, name: PlatformName) -> None:
    caller = Caller(server, name)
    found = caller.platform.identities(caller.token, None)
    assert caller.account.remote_id in {identity.remote_id for identity in found}
    own = next(identity for identity in found if identity.remote_id == caller.account.remote_id)
    token = own.tokens.access if own.tokens is not None else caller.token
    intent = caller.prepare(Content("hello", (picture(),)), caller.upload(picture()))
    assert caller.platform.publish(caller.account, token, intent).remote_id


@on_every_platform
def test_a_post_that_was_deleted_is_gone_and_deleting_it_again_is_no_error(
    server: StandIn, name: PlatformName
) -> None:
    caller = Caller(server, name)
    published = caller.post("short-lived", picture())
    if name is PlatformName.INSTAGRAM:
        with pytest.raises(NotOfferedError):
            caller.platform.delete(caller.account, caller.token, published.remote_id)
        return
    for _ in range(2):
        caller.platform.delete(caller.account, caller.token, published.remote_id)
    assert caller.records == []
    with pytest.raises(PostGoneError):
        caller.platform.metrics(caller.account, caller.token, published.remote_id)


@on_every_platform
def test_a_posts_counters_are_read(server: StandIn, name: PlatformName) -> None:
    caller = Caller(server, name)
    published = caller.post("popular", picture())
    counted = caller.platform.metrics(caller.account, caller.token, published.remote_id)
    assert (counted.likes, counted.replies) == (5, 1)


@pytest.mark.parametrize("operation", ["upload", "delete", "metrics"])
@on_every_platform
def test_a_call_that_publishes_nothing_may_be_tried_again(
    server: StandIn, name: PlatformName, operation: str
) -> None:
    caller = Caller(server, name)
    published = caller.post("there", picture())
    is_absent = (name, operation) == (PlatformName.INSTAGRAM, "delete")
    if is_absent:
        return
    server.plant(name.value, "drop_before", operation=operation, handle=caller.handle)
    remote_id = published.remote_id

    def call() -> None:
        match operation:
            case "upload":
                caller.upload(picture(), picture())
            case "delete":
                caller.platform.delete(caller.account, caller.token, remote_id)
            case _:
                caller.platform.metrics(caller.account, caller.token, remote_id)

    with pytest.raises(TryAgainError):
        call()
    call()


@pytest.mark.parametrize("name", [PlatformName.BLUESKY, PlatformName.X])
def test_media_that_the_platform_has_lost_make_the_intent_stale(server: StandIn, name: PlatformName) -> None:
    caller, other = Caller(server, name), Caller(server, name)
    content = Content("x", (picture(),))
    intent = caller.prepare(content, other.upload(film(10) if name is PlatformName.BLUESKY else picture()))
    with pytest.raises(StaleIntentError):
        caller.platform.publish(caller.account, caller.token, intent)


@pytest.mark.parametrize("name", CONTAINERS)
def test_an_ended_token_that_refreshes_itself_needs_its_owner(server: StandIn, name: PlatformName) -> None:
    caller = Caller(server, name)
    server.change(name.value, caller.handle, expire_tokens=True)
    platform: Platform = caller.platform
    with pytest.raises(TokenExpiredError):
        platform.identities(caller.token, None)
    with pytest.raises(ReauthError):
        platform.refresh(caller.account, caller.token)
