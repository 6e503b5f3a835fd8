"""What the interfaces of Facebook, Instagram and Threads have in common: Graph errors, usage headers."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import orjson

from tasks.social_posting import http
from tasks.social_posting.adapter import Adapter
from tasks.social_posting.error import (
    AccountBlockedError,
    AlreadyPublishedError,
    PermanentContentError,
    PlatformError,
    PostGoneError,
    RateLimitedError,
    ReauthError,
    StaleIntentError,
    TokenExpiredError,
    TryAgainError,
    UnknownOutcomeError,
    nothing_visible,
)
from tasks.social_posting.http import Answer, bearer
from tasks.social_posting.platform import Account, Tokens

USAGE_WAIT = timedelta(hours=1)
"""Usage is counted over a rolling hour; a header may know better."""
BUSY_WAIT = timedelta(seconds=10)

THROTTLED = frozenset({4, 17, 32, 613}) | frozenset(range(80_000, 80_015))
INVALID_TOKEN = frozenset({102, 190})
LOST_PERMISSION = frozenset({3, 10}) | frozenset(range(200, 300))
FAILED_INSIDE = frozenset({-1, 1, 2})
OWNER_MUST_ACT = frozenset({458, 459, 460, 464, 490, 492})
"""Subcodes of an invalid token that no refresh mends: app removed, checkpoint, new password, role lost."""
POLICY_BLOCK, DUPLICATE = 368, 506

SUBCODES: Mapping[int, type[PlatformError]] = {
    33: PostGoneError,
    1_366_051: AlreadyPublishedError,
    2_207_001: UnknownOutcomeError,
    2_207_003: TryAgainError,
    2_207_006: StaleIntentError,
    2_207_008: StaleIntentError,
    2_207_020: StaleIntentError,
    2_207_027: TryAgainError,
    2_207_032: TryAgainError,
    2_207_050: AccountBlockedError,
    2_207_051: AccountBlockedError,
    2_207_052: TryAgainError,
    2_207_053: TryAgainError,
}
TOO_MANY = frozenset({2_207_042, 1_390_008})
"""Subcodes: the day's posts are used up; posting too fast."""


class MetaAdapter(Adapter):
    """Base of Meta's platforms."""

    api: str
    """Address and version, without a slash at its end."""

    def get(self, token: str, path: str, **query: str) -> Answer:
        """Read, with the token in a header: an address ends up in logs."""
        return self.call_safely("GET", self._url(path), headers=bearer(token), query=query or None)

    def post(self, token: str, path: str, **form: str) -> Answer:
        """Write; what it means when the answer is lost is the caller's to say."""
        return self.call("POST", self._url(path), headers=bearer(token), form=form)

    def pages(self, token: str, path: str, *, most: int, **query: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of an edge, page after page."""
        for _ in range(most):
            answer = self.get(token, path, **query)
            yield from answer.field("data") or []
            paging = answer.field("paging") or {}
            after = (paging.get("cursors") or {}).get("after")
            if not paging.get("next") or not after:
                return
            query = query | {"after": after}

    def delete(self, account: Account, access_token: str, remote_id: str) -> None:
        """Delete the post."""
        del account
        with nothing_visible():
            answer = http.send("DELETE", self._url(remote_id), headers=bearer(access_token))
            error = self.classify(answer)
        if error is not None and not isinstance(error, PostGoneError):
            raise error

    def refresh_itself(self, grant_type: str, token: str) -> Tokens:
        """Trade a long-lived token for one that lives as long again."""
        asked_at = datetime.now(UTC)
        query = {"grant_type": grant_type, "access_token": token}
        try:
            answer = self.call_safely("GET", self._root("refresh_access_token"), query=query)
        except TokenExpiredError as error:
            raise ReauthError(error.detail) from error
        fresh, seconds = answer.field("access_token"), answer.field("expires_in")
        if not fresh:
            raise TryAgainError("the platform answered a refresh without a token")
        return Tokens(str(fresh), str(fresh), asked_at + timedelta(seconds=int(seconds)))

    def classify(self, answer: Answer) -> PlatformError | None:
        """Judge by the error's code and subcode; the status says little."""
        error = answer.field("error")
        if answer.succeeded and not isinstance(error, dict):
            return None
        if not isinstance(error, dict):
            return _without_code(answer)
        code, subcode = int(error.get("code") or 0), int(error.get("error_subcode") or 0)
        detail = f"{answer.status} ({code}/{subcode}): {error.get('message') or 'no message'}"
        return _of_subcode(subcode, detail, answer) or _of_code(code, subcode, detail, answer)

    def _url(self, path: str) -> str:
        return self._around.reach(f"{self.api}/{path}")

    def _root(self, path: str) -> str:
        """Return an address that stands outside of the versions."""
        return self._around.reach(f"{self.api.rsplit('/', 1)[0]}/{path}")


def _without_code(answer: Answer) -> PlatformError:
    detail = f"{answer.status}: no error that can be read"
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimitedError(detail, until=_resets_at(answer))
    if answer.unclear:
        return UnknownOutcomeError(detail)
    return TryAgainError(detail) if answer.redirects else PermanentContentError(detail)


def _of_subcode(subcode: int, detail: str, answer: Answer) -> PlatformError | None:
    if subcode in TOO_MANY:
        return RateLimitedError(detail, until=_resets_at(answer))
    meaning = SUBCODES.get(subcode)
    if meaning is TryAgainError:
        return TryAgainError(detail, after=BUSY_WAIT)
    return None if meaning is None else meaning(detail)


def _of_code(  # noqa: PLR0911 - one per meaning
    code: int, subcode: int, detail: str, answer: Answer
) -> PlatformError:
    if code in THROTTLED:
        return RateLimitedError(detail, until=_resets_at(answer))
    if code in INVALID_TOKEN:
        return ReauthError(detail) if subcode in OWNER_MUST_ACT else TokenExpiredError(detail)
    if code in LOST_PERMISSION:
        return ReauthError(detail)
    if code == POLICY_BLOCK:
        return AccountBlockedError(detail)
    if code == DUPLICATE:
        return AlreadyPublishedError(detail)
    if code in FAILED_INSIDE or answer.unclear:
        return UnknownOutcomeError(detail)
    return PermanentContentError(detail)


def _resets_at(answer: Answer) -> datetime:
    """Return when Meta takes more: the longest wait that a usage header names, in minutes."""
    minutes = max(_regain_minutes(answer.headers.get("x-business-use-case-usage", "")), default=0)
    return datetime.now(UTC) + (timedelta(minutes=minutes) if minutes else USAGE_WAIT)


def _regain_minutes(header: str) -> list[int]:
    try:
        cases = orjson.loads(header)
        return [int(use["estimated_time_to_regain_access"]) for uses in cases.values() for use in uses]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return []
