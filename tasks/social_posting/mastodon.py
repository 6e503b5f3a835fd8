"""Mastodon: an idempotency key that servers keep for an hour, and the account's statuses to probe."""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import grapheme

from models.social import PlatformName
from tasks.social_posting import http
from tasks.social_posting.adapter import CLOCK_DIFFERENCE, Adapter, text_to_find
from tasks.social_posting.content import MEGABYTE, Content, Limits, Medium, MediumLimits
from tasks.social_posting.error import (
    AccountBlockedError,
    PermanentContentError,
    PlatformError,
    PostGoneError,
    RateLimitedError,
    ReauthError,
    StaleUploadsError,
    TryAgainError,
    UnknownOutcomeError,
    nothing_visible,
)
from tasks.social_posting.http import Answer, bearer
from tasks.social_posting.platform import Account, Identity, Intent, Metrics, Published, Tokens
from tasks.social_posting.sign_in import OAuth, SignIn

LINK_LENGTH = 23
"""Every link counts so many characters, however long it is."""
PAGE = 40
MOST_PAGES = 10
DEFAULT_WAIT = timedelta(minutes=5)
MEDIUM_WAIT = timedelta(seconds=5)
"""The server works on a film so long before it is worth asking again."""

_LINK = re.compile(r"https?://\S+")
_MENTION = re.compile(r"(?<=@)([A-Za-z0-9_]+)@[A-Za-z0-9.-]+\w")
_BREAK = re.compile(r"<br ?/?>")
_PARAGRAPHS = re.compile(r"</p>\s*<p>")
_TAG = re.compile(r"<[^>]+>")


class Mastodon(Adapter):
    """Post through the REST interface of the account's own server."""

    name = PlatformName.MASTODON
    limits = Limits(
        characters=500,
        media=4,
        pictures=MediumLimits(
            4, frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"}), 16 * MEGABYTE
        ),
        films=MediumLimits(1, frozenset({"video/mp4", "video/quicktime", "video/webm"}), 99 * MEGABYTE),
        alt_text=1_500,
    )
    can_probe = True
    sign_in: SignIn = OAuth(
        authorize_url="https://server.invalid/oauth/authorize",
        token_url="https://server.invalid/oauth/token",  # noqa: S106 - an address
        register_url="https://server.invalid/api/v1/apps",
        scopes=("read:accounts", "read:statuses", "write:statuses", "write:media"),
        pkce=True,
    )
    refresh_ahead = timedelta(0)

    def limits_of(self, account: Account) -> Limits:
        """Return what the account's own server said when it was connected."""
        told = account.attributes.get("limits")
        if not isinstance(told, Mapping):
            return self.limits
        return replace(
            self.limits,
            characters=int(told.get("characters", self.limits.characters)),
            media=int(told.get("media", self.limits.media)),
            alt_text=int(told.get("alt_text", self.limits.alt_text)),
        )

    def length(self, text: str) -> int:
        """Count graphemes, a link as 23 and a mention without its server."""
        counted = _MENTION.sub(r"\1", _LINK.sub("x" * LINK_LENGTH, text))
        return int(grapheme.length(counted))

    def identities(self, access_token: str, server: str | None) -> Sequence[Identity]:
        """Ask the server whose token this is, and what it takes."""
        base = self._around.server_at(server)
        url = f"{base}/api/v1/accounts/verify_credentials"
        person = self.call_safely("GET", url, headers=bearer(access_token))
        instance = self.call_safely("GET", f"{base}/api/v2/instance")
        handle = f"{person.field('acct')}@{urlsplit(server or base).netloc}"
        attributes = {"limits": _told_limits(instance)}
        return [Identity(str(person.field("id")), handle, attributes)]

    def upload(self, account: Account, access_token: str, medium: Medium, *, count: int = 1) -> str:
        """Hand over a medium with its alt text; the server may work on it for a while."""
        del count
        answer = self.call_safely(
            "POST",
            f"{self._around.server_of(account)}/api/v2/media",
            headers=bearer(access_token),
            form={"description": medium.alt_text},
            files={"file": ("medium", medium.read(), medium.content_type)},
        )
        return str(answer.field("id"))

    def prepare(
        self, account: Account, access_token: str, content: Content, *, uploads: Sequence[str], at: datetime
    ) -> Intent:
        """Return the form of a public status, once the server is done with its media."""
        for reference in uploads:
            self._await_medium(account, access_token, reference)
        body = {"status": content.text, "visibility": "public"}
        return Intent(str(uuid4()), body | ({"media_ids": list(uploads)} if uploads else {}), at)

    def publish(self, account: Account, access_token: str, intent: Intent) -> Published:
        """Publish the status; with a key used within the hour the server answers the first one again."""
        answer = self.call(
            "POST",
            f"{self._around.server_of(account)}/api/v1/statuses",
            json=intent.body,
            headers=bearer(access_token) | {"Idempotency-Key": intent.key},
        )
        if not answer.field("id"):
            raise UnknownOutcomeError("the server answered a post without its id")
        return _published(answer.json)

    def probe(
        self, account: Account, access_token: str, intent: Intent, *, known: frozenset[str]
    ) -> Published | None:
        """Look for a status of the same text among those since the intent."""
        text, since = text_to_find(intent.body["status"]), intent.at - CLOCK_DIFFERENCE
        for status in self._statuses(account, access_token):
            if datetime.fromisoformat(status["created_at"]) < since:
                return None
            is_new = status["id"] not in known
            if is_new and self._text(account, access_token, status) == text:
                return _published(status)
        return None

    def refresh(self, account: Account, refresh_token: str) -> Tokens:
        """Refuse: Mastodon's tokens end only when someone revokes them."""
        del account, refresh_token
        raise ReauthError("this server's tokens cannot be refreshed")

    def delete(self, account: Account, access_token: str, remote_id: str) -> None:
        """Delete the status."""
        with nothing_visible():
            answer = http.send("DELETE", self._status_url(account, remote_id), headers=bearer(access_token))
            if answer.status != HTTPStatus.NOT_FOUND:
                self.checked(answer)

    def metrics(self, account: Account, access_token: str, remote_id: str) -> Metrics:
        """Read the status's counters."""
        with nothing_visible():
            answer = http.send("GET", self._status_url(account, remote_id), headers=bearer(access_token))
            if answer.status == HTTPStatus.NOT_FOUND:
                raise PostGoneError("the post is no longer on its server")
            self.checked(answer)
        return Metrics(
            likes=answer.field("favourites_count"),
            replies=answer.field("replies_count"),
            reposts=answer.field("reblogs_count"),
            quotes=answer.field("quotes_count"),
        )

    def classify(self, answer: Answer) -> PlatformError | None:
        """Judge by the status, and what only the words tell apart by the words."""
        if answer.succeeded:
            return None
        detail = f"{answer.status}: {answer.field('error') or 'no message'}"
        match answer.status:
            case HTTPStatus.TOO_MANY_REQUESTS:
                return RateLimitedError(detail, until=_resets_at(answer))
            case HTTPStatus.UNAUTHORIZED:
                return ReauthError(detail)
            case HTTPStatus.FORBIDDEN:
                is_scope = "scope" in detail or "not allowed" in detail
                return ReauthError(detail) if is_scope else AccountBlockedError(detail)
        if answer.unclear:
            return UnknownOutcomeError(detail)
        is_passing = answer.redirects or answer.status == HTTPStatus.CONFLICT or "not finished" in detail
        return TryAgainError(detail) if is_passing else PermanentContentError(detail)

    def _await_medium(self, account: Account, token: str, reference: str) -> None:
        url = f"{self._around.server_of(account)}/api/v1/media/{quote(reference)}"
        with nothing_visible():
            answer = http.send("GET", url, headers=bearer(token))
            if answer.status == HTTPStatus.NOT_FOUND:
                raise StaleUploadsError("the server no longer has the medium")
            self.checked(answer)
        if answer.status == HTTPStatus.PARTIAL_CONTENT:
            raise TryAgainError("the server still works on the medium", after=MEDIUM_WAIT)

    def _status_url(self, account: Account, remote_id: str) -> str:
        return f"{self._around.server_of(account)}/api/v1/statuses/{quote(remote_id)}"

    def _statuses(self, account: Account, token: str) -> Iterator[dict[str, Any]]:
        """Yield the account's statuses, newest first."""
        person = quote(self._identifier(account, token))
        url = f"{self._around.server_of(account)}/api/v1/accounts/{person}/statuses"
        query = {"limit": str(PAGE), "exclude_reblogs": "true"}
        for _ in range(MOST_PAGES):
            answer = self.call("GET", url, headers=bearer(token), query=query)
            if not isinstance(answer.json, list):
                raise TryAgainError("the server answered no list of statuses")
            yield from answer.json
            if len(answer.json) < PAGE:
                return
            query = query | {"max_id": answer.json[-1]["id"]}

    def _identifier(self, account: Account, token: str) -> str:
        if account.remote_id:
            return account.remote_id
        url = f"{self._around.server_of(account)}/api/v1/accounts/verify_credentials"
        return str(self.call("GET", url, headers=bearer(token)).field("id"))

    def _text(self, account: Account, token: str, status: dict[str, Any]) -> str:
        """Return the text a status was written with; from its HTML where the server does not keep it."""
        url = f"{self._around.server_of(account)}/api/v1/statuses/{quote(status['id'])}/source"
        answer = http.send("GET", url, headers=bearer(token))
        if answer.status == HTTPStatus.NOT_FOUND:  # a compatible server without this call
            return plain_text(status["content"])
        return str(self.checked(answer).field("text"))


def plain_text(content: str) -> str:
    """Return the text of a status from its HTML."""
    broken = _BREAK.sub("\n", _PARAGRAPHS.sub("\n\n", content))
    return html.unescape(_TAG.sub("", broken))


def _published(status: dict[str, Any]) -> Published:
    return Published(str(status["id"]), str(status.get("url") or status.get("uri") or ""))


def _told_limits(instance: Answer) -> dict[str, int]:
    configuration = instance.field("configuration") or {}
    statuses, media = configuration.get("statuses", {}), configuration.get("media_attachments", {})
    told = {
        "characters": statuses.get("max_characters"),
        "media": statuses.get("max_media_attachments"),
        "alt_text": media.get("description_limit"),
    }
    return {name: int(value) for name, value in told.items() if value}


def _resets_at(answer: Answer) -> datetime:
    """Return when the server takes more; it says so as ISO 8601."""
    try:
        moment = datetime.fromisoformat(answer.headers["x-ratelimit-reset"])
    except (KeyError, ValueError):
        return datetime.now(UTC) + DEFAULT_WAIT
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
