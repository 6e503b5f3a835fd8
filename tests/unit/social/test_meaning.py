"""What the answers of X, LinkedIn and Meta mean: bodies and headers as the platforms send them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from models.social import PlatformName
from tasks.social_posting.error import (
    AccountBlockedError,
    AlreadyPublishedError,
    NotOfferedError,
    PermanentContentError,
    PlatformError,
    PostGoneError,
    RateLimitedError,
    ReauthError,
    StaleIntentError,
    TokenExpiredError,
    TryAgainError,
    UnknownOutcomeError,
)
from tasks.social_posting.http import Answer
from tasks.social_posting.registry import PLATFORMS

HOUR = timedelta(hours=1)
TWITTER = "https://api.twitter.com/2/problems"


def meaning(name: str, status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    platform = PLATFORMS[PlatformName(name)]
    return platform.classify(Answer(status, headers or {}, body, empty=body == ""))


def problem(status: int, detail: str, kind: str = "about:blank") -> dict[str, Any]:
    return {"title": "A problem", "detail": detail, "type": kind, "status": status}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, problem(401, "Unauthorized"), TokenExpiredError),
        (
            403,
            problem(403, "You are not allowed to create a Tweet with duplicate content."),
            AlreadyPublishedError,
        ),
        (403, problem(403, "Your account is suspended."), AccountBlockedError),
        (403, problem(403, "To protect our users, this account is temporarily locked."), AccountBlockedError),
        (403, problem(403, "You are not permitted to perform this action."), ReauthError),
        (403, problem(403, "Your Tweet text is too long."), PermanentContentError),
        (403, problem(403, "no access", f"{TWITTER}/client-forbidden"), NotOfferedError),
        (
            400,
            problem(400, "invalid") | {"errors": [{"message": "Your media IDs are invalid."}]},
            StaleIntentError,
        ),
        (400, problem(400, "One or more parameters to your request was invalid."), PermanentContentError),
        (402, problem(402, "Your account does not have any credits"), RateLimitedError),
        (429, problem(429, "Too Many Requests"), RateLimitedError),
        (503, problem(503, "Over capacity"), UnknownOutcomeError),
        (200, None, UnknownOutcomeError),
        (307, None, TryAgainError),
    ],
)
def test_x(status: int, body: Any, expected: type[PlatformError]) -> None:
    assert type(meaning("x", status, body)) is expected


def refusal(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, refusal("EXPIRED_ACCESS_TOKEN", "expired"), TokenExpiredError),
        (401, refusal("REVOKED_ACCESS_TOKEN", "revoked by the user"), ReauthError),
        (403, refusal("ACCESS_DENIED", "Not enough permissions to access: posts"), ReauthError),
        (403, refusal("ACCESS_DENIED", "Member is restricted"), AccountBlockedError),
        (
            422,
            refusal("", "Content is a duplicate of urn:li:share:7141138937766391808"),
            AlreadyPublishedError,
        ),
        (422, refusal("VALIDATION_ERROR", "ERROR :: /commentary :: too long"), PermanentContentError),
        (426, refusal("NONEXISTENT_VERSION", "Requested version 20240101 is not active"), TryAgainError),
        (429, refusal("TOO_MANY_REQUESTS", "Resource level throttle DAY limit is reached"), RateLimitedError),
        (500, refusal("", "Internal Server Error"), UnknownOutcomeError),
        (504, None, UnknownOutcomeError),
        (200, None, UnknownOutcomeError),
        (302, None, TryAgainError),
    ],
)
def test_linkedin(status: int, body: Any, expected: type[PlatformError]) -> None:
    assert type(meaning("linkedin", status, body)) is expected


def graph(code: int, subcode: int = 0) -> dict[str, Any]:
    error = {"message": "some words", "type": "OAuthException", "code": code, "fbtrace_id": "x"}
    return {"error": error | ({"error_subcode": subcode} if subcode else {})}


@pytest.mark.parametrize("name", ["facebook", "instagram", "threads"])
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, graph(4), RateLimitedError),
        (400, graph(17), RateLimitedError),
        (400, graph(32), RateLimitedError),
        (400, graph(613), RateLimitedError),
        (400, graph(80001), RateLimitedError),
        (400, graph(9, 2207042), RateLimitedError),
        (400, graph(368, 1390008), RateLimitedError),
        (429, None, RateLimitedError),
        (400, graph(190), TokenExpiredError),
        (401, graph(190, 463), TokenExpiredError),
        (400, graph(190, 458), ReauthError),
        (400, graph(190, 460), ReauthError),
        (400, graph(190, 459), ReauthError),
        (400, graph(10), ReauthError),
        (403, graph(200), ReauthError),
        (400, graph(368), AccountBlockedError),
        (400, graph(25, 2207050), AccountBlockedError),
        (403, graph(4, 2207051), AccountBlockedError),
        (400, graph(506), AlreadyPublishedError),
        (400, graph(9007, 2207027), TryAgainError),
        (400, graph(24, 2207008), StaleIntentError),
        (400, graph(100, 2207006), StaleIntentError),
        (400, graph(100, 33), PostGoneError),
        (400, graph(100), PermanentContentError),
        (400, graph(36003, 2207009), PermanentContentError),
        (500, graph(1), UnknownOutcomeError),
        (400, graph(2), UnknownOutcomeError),
        (400, graph(-1, 2207001), UnknownOutcomeError),
        (200, graph(1), UnknownOutcomeError),
        (502, None, UnknownOutcomeError),
        (200, None, UnknownOutcomeError),
    ],
)
def test_meta(name: str, status: int, body: Any, expected: type[PlatformError]) -> None:
    assert type(meaning(name, status, body)) is expected


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("x", 201, {"data": {"id": "1"}}),
        ("x", 204, ""),
        ("linkedin", 201, ""),
        ("linkedin", 200, {"elements": []}),
        ("facebook", 200, {"id": "1_2"}),
        ("instagram", 200, {"id": "1"}),
        ("threads", 200, {"success": True}),
    ],
)
def test_a_success_means_nothing_else(name: str, status: int, body: Any) -> None:
    assert meaning(name, status, body) is None


def test_x_waits_for_the_last_of_its_exhausted_windows() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    soon, late = now + HOUR, now + 5 * HOUR
    headers = {
        "x-rate-limit-remaining": "0",
        "x-rate-limit-reset": str(int(soon.timestamp())),
        "x-user-limit-24hour-remaining": "0",
        "x-user-limit-24hour-reset": str(int(late.timestamp())),
        "x-app-limit-24hour-remaining": "17",
        "x-app-limit-24hour-reset": str(int((late + HOUR).timestamp())),
    }
    assert meaning("x", 429, {}, headers).until == late
    assert meaning("x", 429, {}, headers | {"x-user-limit-24hour-remaining": "3"}).until == soon


def test_linkedins_day_ends_at_midnight_utc() -> None:
    asked = datetime.now(UTC)
    until = meaning("linkedin", 429, refusal("", "Resource level throttle DAY limit is reached")).until
    assert (until.hour, until.minute) == (0, 0)
    assert asked < until <= datetime.now(UTC) + timedelta(days=1)


def test_meta_waits_as_long_as_its_usage_header_says() -> None:
    case = {"type": "pages", "call_count": 100, "estimated_time_to_regain_access": 19}
    other = case | {"estimated_time_to_regain_access": 7}
    header = {"x-business-use-case-usage": orjson.dumps({"1": [case, other]}).decode()}
    wait = meaning("facebook", 400, graph(32), header).until - datetime.now(UTC)
    assert timedelta(minutes=18) < wait <= timedelta(minutes=19)


@pytest.mark.parametrize("header", ["", "{}", "not json", "[1]", '{"1": [{"type": "pages"}]}', '{"1": 3}'])
def test_an_unreadable_usage_header_waits_an_hour(header: str) -> None:
    wait = meaning("threads", 400, graph(4), {"x-business-use-case-usage": header}).until - datetime.now(UTC)
    assert timedelta(minutes=59) < wait <= HOUR
