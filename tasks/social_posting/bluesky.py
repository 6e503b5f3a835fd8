"""Bluesky: records under our own key, so that a repeated call cannot make a second post."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import grapheme

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
from tasks.social_posting.http import Answer, bearer, send
from tasks.social_posting.platform import Account, Intent, Limits, Published, Tokens
from tasks.social_posting.tid import new_tid

COLLECTION = "app.bsky.feed.post"
HOME = "https://bsky.social"
ACCESS_LIFE = timedelta(hours=2)
"""The server's access tokens live so long; it does not say so itself."""
DEFAULT_WAIT = timedelta(minutes=5)

_LINK = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)\]]")

_MEANINGS: dict[str, type[PlatformError]] = {
    # Bad tokens come with status 400, so the error's name decides and not the status.
    "ExpiredToken": TokenExpiredError,
    "InvalidToken": TokenExpiredError,
    "AccountTakedown": AccountBlockedError,
    "AccountDeactivated": AccountBlockedError,
    "AccountSuspended": AccountBlockedError,
    "RepoTakendown": AccountBlockedError,
    "RepoDeactivated": AccountBlockedError,
    "AuthMissing": ReauthError,
    "AuthenticationRequired": ReauthError,
}


class Bluesky:
    """Post through the repository calls of the account's own server."""

    limits = Limits(characters=300, bytes=3_000, media=0)
    can_probe = True

    def __init__(self, server_of: Callable[[Account], str]) -> None:
        """Take the function that tells where an account's server is."""
        self._server_of = server_of

    def length(self, text: str) -> int:
        """Count graphemes."""
        return int(grapheme.length(text))

    def new_key(self, at: datetime) -> str:
        """Return a record key of the moment."""
        return new_tid(at)

    def freeze(self, text: str, at: datetime) -> dict[str, Any]:
        """Return the record; the same one again is the same post."""
        moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record: dict[str, Any] = {"$type": COLLECTION, "text": text, "createdAt": moment}
        facets = link_facets(text)
        return record | ({"facets": facets} if facets else {})

    def publish(self, account: Account, access_token: str, intent: Intent) -> Published:
        """Write the record; `swapRecord: null` makes the server refuse it when the key is taken: by us."""
        answer = send(
            "POST",
            self._url(account, "com.atproto.repo.putRecord"),
            headers=bearer(access_token),
            json={
                "repo": _repository(account),
                "collection": COLLECTION,
                "rkey": intent.key,
                "record": intent.body,
                "swapRecord": None,
            },
        )
        if answer.field("error") == "InvalidSwap":
            return _published(account, intent.key, None)
        _raise_for(answer)
        return _published(account, intent.key, answer.field("uri"))

    def probe(
        self, account: Account, access_token: str, intent: Intent, *, known: frozenset[str]
    ) -> Published | None:
        """Read the record under our key; anyone may, so no token is sent."""
        del access_token, known
        query = {"repo": _repository(account), "collection": COLLECTION, "rkey": intent.key}
        answer = send("GET", self._url(account, "com.atproto.repo.getRecord"), query=query)
        if answer.field("error") == "RecordNotFound":
            return None
        _raise_for(answer)
        return _published(account, intent.key, answer.field("uri"))

    def refresh(self, account: Account, refresh_token: str) -> Tokens:
        """Trade the refresh token, which is good for one use."""
        asked_at = datetime.now(UTC)
        try:
            answer = send(
                "POST", self._url(account, "com.atproto.server.refreshSession"), headers=bearer(refresh_token)
            )
            _raise_for(answer)
        except TokenExpiredError as error:
            raise ReauthError(error.detail) from error
        access = answer.field("accessJwt")
        if not access:
            raise TryAgainError("the server answered a refresh without a token")
        return Tokens(str(access), answer.field("refreshJwt") or None, asked_at + ACCESS_LIFE)

    def _url(self, account: Account, method: str) -> str:
        return f"{self._server_of(account)}/xrpc/{method}"


def link_facets(text: str) -> list[dict[str, Any]]:
    """Return the facets that make links in *text* work; positions count UTF-8 bytes."""
    return [
        {
            "index": {
                "byteStart": len(text[: found.start()].encode()),
                "byteEnd": len(text[: found.end()].encode()),
            },
            "features": [{"$type": "app.bsky.richtext.facet#link", "uri": found.group()}],
        }
        for found in _LINK.finditer(text)
    ]


def _repository(account: Account) -> str:
    return account.remote_id or account.handle


def _published(account: Account, key: str, uri: Any) -> Published:
    remote_id = str(uri) if uri else f"at://{_repository(account)}/{COLLECTION}/{key}"
    return Published(remote_id, f"https://bsky.app/profile/{_repository(account)}/post/{key}")


def _raise_for(answer: Answer) -> None:
    """Raise what an answer that is no success means."""
    name = answer.field("error")
    if answer.succeeded:
        return
    detail = f"{answer.status} {name or ''}: {answer.field('message') or 'no message'}"
    meaning = _MEANINGS.get(str(name))
    if meaning is not None:
        raise meaning(detail)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise RateLimitedError(detail, until=_resets_at(answer))
    if answer.unclear:
        raise UnknownOutcomeError(detail)
    if answer.redirects:
        raise TryAgainError(detail)
    raise PermanentContentError(detail)


def _resets_at(answer: Answer) -> datetime:
    try:
        return datetime.fromtimestamp(float(answer.headers["ratelimit-reset"]), UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        return datetime.now(UTC) + DEFAULT_WAIT
