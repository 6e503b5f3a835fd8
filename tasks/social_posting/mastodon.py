"""Mastodon: an idempotency key that servers keep for an hour, and the account's statuses to probe."""

import html
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import grapheme

from tasks.social_posting.error import (
    AccountBlockedError,
    PermanentContentError,
    RateLimitedError,
    ReauthError,
    TryAgainError,
    UnknownOutcomeError,
)
from tasks.social_posting.http import Answer, bearer, send
from tasks.social_posting.platform import Account, Intent, Limits, Published, Tokens

LINK_LENGTH = 23
"""Every link counts so many characters, however long it is."""
CLOCK_DIFFERENCE = timedelta(minutes=5)
"""The server's clock may be so far behind ours."""
PAGE = 40
MOST_PAGES = 10
DEFAULT_WAIT = timedelta(minutes=5)

_LINK = re.compile(r"https?://\S+")
_MENTION = re.compile(r"(?<=@)([A-Za-z0-9_]+)@[A-Za-z0-9.-]+\w")
_BREAK = re.compile(r"<br ?/?>")
_PARAGRAPHS = re.compile(r"</p>\s*<p>")
_TAG = re.compile(r"<[^>]+>")


class Mastodon:
    """Post through the REST interface of the account's own server."""

    limits = Limits(characters=500, bytes=None, media=0)
    can_probe = True

    def __init__(self, server_of: Callable[[Account], str]) -> None:
        """Take the function that tells where an account's server is."""
        self._server_of = server_of

    def length(self, text: str) -> int:
        """Count graphemes, a link as 23 and a mention without its server."""
        counted = _MENTION.sub(r"\1", _LINK.sub("x" * LINK_LENGTH, text))
        return int(grapheme.length(counted))

    def new_key(self, at: datetime) -> str:
        """Return a random key."""
        del at
        return str(uuid4())

    def freeze(self, text: str, at: datetime) -> dict[str, Any]:
        """Return the form of a public status."""
        del at
        return {"status": text, "visibility": "public"}

    def publish(self, account: Account, access_token: str, intent: Intent) -> Published:
        """Publish the status; with a key used within the hour the server answers the first one again."""
        answer = send(
            "POST",
            f"{self._server_of(account)}/api/v1/statuses",
            json=intent.body,
            headers=bearer(access_token) | {"Idempotency-Key": intent.key},
        )
        _raise_for(answer)
        if not answer.field("id"):
            raise UnknownOutcomeError("the server answered a post without its id")
        return _published(answer.json)

    def probe(
        self, account: Account, access_token: str, intent: Intent, *, known: frozenset[str]
    ) -> Published | None:
        """Look for a status of the same text among those since the intent."""
        since = intent.at - CLOCK_DIFFERENCE
        for status in self._statuses(account, access_token):
            if datetime.fromisoformat(status["created_at"]) < since:
                return None
            is_new = status["id"] not in known
            if is_new and self._text(account, access_token, status) == intent.body["status"]:
                return _published(status)
        return None

    def refresh(self, account: Account, refresh_token: str) -> Tokens:
        """Refuse: Mastodon's tokens end only when someone revokes them."""
        del account, refresh_token
        raise ReauthError("this server's tokens cannot be refreshed")

    def _statuses(self, account: Account, token: str) -> Iterator[dict[str, Any]]:
        """Yield the account's statuses, newest first."""
        url = f"{self._server_of(account)}/api/v1/accounts/{quote(self._identifier(account, token))}/statuses"
        query = {"limit": str(PAGE), "exclude_reblogs": "true"}
        for _ in range(MOST_PAGES):
            answer = send("GET", url, headers=bearer(token), query=query)
            _raise_for(answer)
            if not isinstance(answer.json, list):
                raise TryAgainError("the server answered no list of statuses")
            yield from answer.json
            if len(answer.json) < PAGE:
                return
            query = query | {"max_id": answer.json[-1]["id"]}

    def _identifier(self, account: Account, token: str) -> str:
        if account.remote_id:
            return account.remote_id
        answer = send(
            "GET", f"{self._server_of(account)}/api/v1/accounts/verify_credentials", headers=bearer(token)
        )
        _raise_for(answer)
        return str(answer.field("id"))

    def _text(self, account: Account, token: str, status: dict[str, Any]) -> str:
        """Return the text a status was written with; from its HTML where the server does not keep it."""
        url = f"{self._server_of(account)}/api/v1/statuses/{quote(status['id'])}/source"
        answer = send("GET", url, headers=bearer(token))
        if answer.status == HTTPStatus.NOT_FOUND:  # a compatible server without this call
            return plain_text(status["content"])
        _raise_for(answer)
        return str(answer.field("text"))


def plain_text(content: str) -> str:
    """Return the text of a status from its HTML."""
    broken = _BREAK.sub("\n", _PARAGRAPHS.sub("\n\n", content))
    return html.unescape(_TAG.sub("", broken))


def _published(status: dict[str, Any]) -> Published:
    return Published(str(status["id"]), str(status.get("url") or status.get("uri") or ""))


def _raise_for(answer: Answer) -> None:
    """Raise what an answer that is no success means."""
    if answer.succeeded:
        return
    detail = f"{answer.status}: {answer.field('error') or 'no message'}"
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise RateLimitedError(detail, until=_resets_at(answer))
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise ReauthError(detail)
    if answer.status == HTTPStatus.FORBIDDEN:
        is_scope = "scope" in detail or "not allowed" in detail
        raise ReauthError(detail) if is_scope else AccountBlockedError(detail)
    if answer.unclear:
        raise UnknownOutcomeError(detail)
    if answer.redirects or answer.status == HTTPStatus.CONFLICT:  # the same key is in work
        raise TryAgainError(detail)
    raise PermanentContentError(detail)


def _resets_at(answer: Answer) -> datetime:
    """Return when the server takes more; it says so as ISO 8601."""
    try:
        moment = datetime.fromisoformat(answer.headers["x-ratelimit-reset"])
    except (KeyError, ValueError):
        return datetime.now(UTC) + DEFAULT_WAIT
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
