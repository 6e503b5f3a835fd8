"""What each answer of a platform means, whatever its status says."""

from datetime import UTC, datetime
from typing import Any

import pytest

from models.social import PlatformName
from tasks.social_posting.error import (
    AccountBlockedError,
    PermanentContentError,
    PlatformError,
    RateLimitedError,
    ReauthError,
    TokenExpiredError,
    TryAgainError,
    UnknownOutcomeError,
)
from tasks.social_posting.http import Answer, public_server
from tasks.social_posting.registry import PLATFORMS


def raise_bluesky(answer: Answer) -> None:
    raise_for(PlatformName.BLUESKY, answer)


def raise_mastodon(answer: Answer) -> None:
    raise_for(PlatformName.MASTODON, answer)


def raise_for(name: PlatformName, answer: Answer) -> None:
    error = PLATFORMS[name].classify(answer)
    if error is not None:
        raise error


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (400, {"error": "ExpiredToken"}, TokenExpiredError),
        (400, {"error": "InvalidToken"}, TokenExpiredError),
        (401, {"error": "AuthMissing"}, ReauthError),
        (401, {"error": "AccountTakedown"}, AccountBlockedError),
        (401, {"error": "AccountDeactivated"}, AccountBlockedError),
        (400, {"error": "InvalidRequest", "message": "too long"}, PermanentContentError),
        (413, {"error": "PayloadTooLarge"}, PermanentContentError),
        (429, {"error": "RateLimitExceeded"}, RateLimitedError),
        (408, None, UnknownOutcomeError),
        (500, {"error": "InternalServerError"}, UnknownOutcomeError),
        (502, None, UnknownOutcomeError),
        (599, None, UnknownOutcomeError),
        (200, None, UnknownOutcomeError),
        (302, None, TryAgainError),
    ],
)
def test_bluesky(status: int, body: Any, meaning: type[PlatformError]) -> None:
    with pytest.raises(meaning) as caught:
        raise_bluesky(Answer(status, {}, body))
    assert type(caught.value) is meaning


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (401, {"error": "The access token is invalid"}, ReauthError),
        (403, {"error": "Your login is currently disabled"}, AccountBlockedError),
        (403, {"error": "This action is outside the authorized scopes"}, ReauthError),
        (404, {"error": "Record not found"}, PermanentContentError),
        (409, None, TryAgainError),
        (422, {"error": "Validation failed"}, PermanentContentError),
        (429, {"error": "Too many requests"}, RateLimitedError),
        (503, "<html>", UnknownOutcomeError),
        (200, None, UnknownOutcomeError),
        (301, None, TryAgainError),
    ],
)
def test_mastodon(status: int, body: Any, meaning: type[PlatformError]) -> None:
    with pytest.raises(meaning) as caught:
        raise_mastodon(Answer(status, {}, body))
    assert type(caught.value) is meaning


def test_bluesky_says_the_reset_in_seconds_and_mastodon_in_words() -> None:
    until = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    with pytest.raises(RateLimitedError) as bluesky_says:
        raise_bluesky(Answer(429, {"ratelimit-reset": str(int(until.timestamp()))}, {}))
    with pytest.raises(RateLimitedError) as mastodon_says:
        raise_mastodon(Answer(429, {"x-ratelimit-reset": "2030-01-02T03:04:05.000000Z"}, {}))
    assert bluesky_says.value.until == mastodon_says.value.until == until


@pytest.mark.parametrize("header", [{}, {"ratelimit-reset": "soon", "x-ratelimit-reset": "soon"}])
def test_an_unreadable_reset_waits_a_while(header: dict[str, str]) -> None:
    for raises in (raise_bluesky, raise_mastodon):
        with pytest.raises(RateLimitedError) as caught:
            raises(Answer(429, header, {}))
        assert caught.value.until > datetime.now(UTC)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "https://127.0.0.1",
        "https://127.0.0.1:8443/x",
        "https://10.0.0.7",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]",
        "https://[::ffff:127.0.0.1]",
        "https://localhost",
        "https://user:word@example.org",
        "ftp://example.org",
        "example.org",
        "",
    ],
)
def test_a_server_that_is_not_on_the_public_internet_is_not_called(url: str) -> None:
    with pytest.raises(PermanentContentError):
        public_server(url)


def test_a_public_server_is_called_at_its_base_address() -> None:
    assert public_server("https://1.1.1.1/some/path?query") == "https://1.1.1.1"
