"""Bluesky: records under our own key, so that a repeated call cannot make a second post."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import grapheme
import orjson

from models.social import PlatformName
from tasks.social_posting import http
from tasks.social_posting.adapter import Adapter
from tasks.social_posting.content import MEGABYTE, Content, Limits, Medium, MediumLimits
from tasks.social_posting.error import (
    AccountBlockedError,
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
from tasks.social_posting.http import Answer, bearer
from tasks.social_posting.platform import Account, Identity, Intent, Metrics, Published, Tokens
from tasks.social_posting.sign_in import AppPassword, SignIn
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
    "BlobNotFound": StaleIntentError,
}


class Bluesky(Adapter):
    """Post through the repository calls of the account's own server."""

    name = PlatformName.BLUESKY
    limits = Limits(
        characters=300,
        bytes=3_000,
        media=4,
        pictures=MediumLimits(4, frozenset({"image/jpeg", "image/png", "image/webp"}), MEGABYTE),
        films=MediumLimits(1, frozenset({"video/mp4"}), 50 * MEGABYTE, longest=timedelta(minutes=3)),
        alt_text=2_000,
    )
    can_probe = True
    sign_in: SignIn = AppPassword(f"{HOME}/xrpc/com.atproto.server.createSession")
    refresh_ahead = timedelta(minutes=5)

    def length(self, text: str) -> int:
        """Count graphemes."""
        return int(grapheme.length(text))

    def identities(self, access_token: str, server: str | None) -> Sequence[Identity]:
        """Ask the server whose session this is."""
        url = f"{self._around.server_at(server)}/xrpc/com.atproto.server.getSession"
        answer = self.call_safely("GET", url, headers=bearer(access_token))
        return [Identity(str(answer.field("did")), str(answer.field("handle")))]

    def upload(self, account: Account, access_token: str, medium: Medium, *, count: int = 1) -> str:
        """Hand over a blob; the alt text goes into the record."""
        del count
        answer = self.call_safely(
            "POST",
            self._url(account, "com.atproto.repo.uploadBlob"),
            headers=bearer(access_token) | {"Content-Type": medium.content_type},
            content=medium.read(),
        )
        return orjson.dumps(answer.field("blob")).decode()

    def prepare(
        self, account: Account, access_token: str, content: Content, *, uploads: Sequence[str], at: datetime
    ) -> Intent:
        """Return the record under a key of the moment; the same one again is the same post."""
        del account, access_token
        moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record: dict[str, Any] = {"$type": COLLECTION, "text": content.text, "createdAt": moment}
        facets, embed = link_facets(content.text), _embed(content.media, uploads)
        record |= {"facets": facets} if facets else {}
        record |= {"embed": embed} if embed else {}
        return Intent(new_tid(at), record, at)

    def publish(self, account: Account, access_token: str, intent: Intent) -> Published:
        """Write the record; `swapRecord: null` makes the server refuse it when the key is taken: by us."""
        answer = http.send(
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
        if answer.field("error") != "InvalidSwap":
            self.checked(answer)
        return _published(account, intent.key, answer.field("uri"))

    def probe(
        self, account: Account, access_token: str, intent: Intent, *, known: frozenset[str]
    ) -> Published | None:
        """Read the record under our key; anyone may, so no token is sent."""
        del access_token, known
        query = {"repo": _repository(account), "collection": COLLECTION, "rkey": intent.key}
        answer = http.send("GET", self._url(account, "com.atproto.repo.getRecord"), query=query)
        if answer.field("error") == "RecordNotFound":
            return None
        self.checked(answer)
        return _published(account, intent.key, answer.field("uri"))

    def refresh(self, account: Account, refresh_token: str) -> Tokens:
        """Trade the refresh token, which is good for one use."""
        asked_at = datetime.now(UTC)
        try:
            answer = self.call_safely(
                "POST", self._url(account, "com.atproto.server.refreshSession"), headers=bearer(refresh_token)
            )
        except TokenExpiredError as error:
            raise ReauthError(error.detail) from error
        access = answer.field("accessJwt")
        if not access:
            raise TryAgainError("the server answered a refresh without a token")
        return Tokens(str(access), answer.field("refreshJwt") or None, asked_at + ACCESS_LIFE)

    def delete(self, account: Account, access_token: str, remote_id: str) -> None:
        """Delete the record; the server does not mind one that is not there."""
        body = {
            "repo": _repository(account),
            "collection": COLLECTION,
            "rkey": remote_id.rsplit("/", 1)[-1],
        }
        url = self._url(account, "com.atproto.repo.deleteRecord")
        self.call_safely("POST", url, headers=bearer(access_token), json=body)

    def metrics(self, account: Account, access_token: str, remote_id: str) -> Metrics:
        """Ask the AppView, through the account's server."""
        url, query = self._url(account, "app.bsky.feed.getPosts"), {"uris": remote_id}
        answer = self.call_safely("GET", url, headers=bearer(access_token), query=query)
        posts = answer.field("posts")
        if not posts:
            raise PostGoneError("the post is no longer on Bluesky")
        return Metrics(
            likes=posts[0].get("likeCount"),
            replies=posts[0].get("replyCount"),
            reposts=posts[0].get("repostCount"),
            quotes=posts[0].get("quoteCount"),
        )

    def classify(self, answer: Answer) -> PlatformError | None:
        """Judge by the error's name: bad tokens come with status 400."""
        if answer.succeeded:
            return None
        name = answer.field("error")
        detail = f"{answer.status} {name or ''}: {answer.field('message') or 'no message'}"
        meaning = _MEANINGS.get(str(name))
        if meaning is not None:
            return meaning(detail)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            return RateLimitedError(detail, until=_resets_at(answer))
        if answer.unclear:
            return UnknownOutcomeError(detail)
        return TryAgainError(detail) if answer.redirects else PermanentContentError(detail)

    def _url(self, account: Account, method: str) -> str:
        return f"{self._around.server_of(account)}/xrpc/{method}"


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


def _embed(media: Sequence[Medium], uploads: Sequence[str]) -> dict[str, Any] | None:
    pairs = [(medium, orjson.loads(blob)) for medium, blob in zip(media, uploads, strict=True)]
    if not pairs:
        return None
    if pairs[0][0].is_film:
        film, blob = pairs[0]
        return {"$type": "app.bsky.embed.video", "video": blob, "alt": film.alt_text} | _shape(film)
    pictures = [{"image": blob, "alt": medium.alt_text} | _shape(medium) for medium, blob in pairs]
    return {"$type": "app.bsky.embed.images", "images": pictures}


def _shape(medium: Medium) -> dict[str, Any]:
    if not medium.width or not medium.height:
        return {}
    return {"aspectRatio": {"width": medium.width, "height": medium.height}}


def _resets_at(answer: Answer) -> datetime:
    try:
        return datetime.fromtimestamp(float(answer.headers["ratelimit-reset"]), UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        return datetime.now(UTC) + DEFAULT_WAIT
