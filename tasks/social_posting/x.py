"""X: no idempotency key; identical text is refused, and the account's own timeline is the probe."""

import html
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from models.social import PlatformName
from tasks.social_posting import http
from tasks.social_posting.adapter import CLOCK_DIFFERENCE, Adapter, text_to_find
from tasks.social_posting.content import MEGABYTE, Content, Limits, Medium, MediumLimits
from tasks.social_posting.error import (
    AccountBlockedError,
    AlreadyPublishedError,
    NoProbeError,
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
    nothing_visible,
)
from tasks.social_posting.http import Answer, bearer
from tasks.social_posting.length import LINK, weighted
from tasks.social_posting.platform import Account, Identity, Intent, Metrics, Published, Tokens
from tasks.social_posting.sign_in import OAuth, SignIn

API = "https://api.x.com/2"
GIF = "image/gif"
PART = 4 * MEGABYTE
"""Films are sent in parts of so many bytes."""
PAGE = 100
MOST_PAGES = 8
DEFAULT_WAIT = timedelta(minutes=15)
"""The length of most of X's windows."""
NO_CREDITS_WAIT = timedelta(hours=1)
WINDOWS = ("x-rate-limit", "x-user-limit-24hour", "x-app-limit-24hour")
"""Each has headers that end in `-remaining` and `-reset` (Unix seconds)."""


class X(Adapter):
    """Post through version 2 of X's interface."""

    name = PlatformName.X
    limits = Limits(
        characters=280,
        media=4,
        pictures=MediumLimits(4, frozenset({"image/jpeg", "image/png", "image/webp", GIF}), 5 * MEGABYTE),
        films=MediumLimits(
            1,
            frozenset({"video/mp4", "video/quicktime"}),
            512 * MEGABYTE,
            shortest=timedelta(seconds=0.5),
            longest=timedelta(seconds=140),
        ),
        alt_text=1_000,
    )
    can_probe = True
    sign_in: SignIn = OAuth(
        authorize_url="https://x.com/i/oauth2/authorize",
        token_url=f"{API}/oauth2/token",
        scopes=("tweet.read", "tweet.write", "users.read", "media.write", "offline.access"),
        pkce=True,
        client_auth="basic",
    )
    refresh_ahead = timedelta(minutes=5)

    def length(self, text: str) -> int:
        """Count by X's weights."""
        return weighted(text)

    def identities(self, access_token: str, server: str | None) -> Sequence[Identity]:
        """Ask whose token this is."""
        del server
        answer = self.call_safely("GET", self._url("users/me"), headers=bearer(access_token))
        person = answer.field("data") or {}
        return [Identity(str(person["id"]), str(person["username"]))]

    def upload(self, account: Account, access_token: str, medium: Medium, *, count: int = 1) -> str:
        """Send a picture at once and a film in parts, then its alt text."""
        del account, count
        in_parts = medium.is_film or medium.content_type == GIF
        reference = (self._send_parts if in_parts else self._send_picture)(access_token, medium)
        if medium.alt_text:
            told = {"id": reference, "metadata": {"alt_text": {"text": medium.alt_text}}}
            self.call_safely("POST", self._url("media/metadata"), headers=bearer(access_token), json=told)
        return reference

    def _send_picture(self, token: str, medium: Medium) -> str:
        answer = self.call_safely(
            "POST",
            self._url("media/upload"),
            headers=bearer(token),
            form={"media_category": "tweet_image", "media_type": medium.content_type},
            files={"media": ("medium", medium.read(), medium.content_type)},
        )
        return str(answer.field("data")["id"])

    def _send_parts(self, token: str, medium: Medium) -> str:
        category = "tweet_video" if medium.is_film else "tweet_gif"
        begun = {
            "media_type": medium.content_type,
            "total_bytes": medium.size,
            "media_category": category,
        }
        headers = bearer(token)
        answer = self.call_safely("POST", self._url("media/upload/initialize"), headers=headers, json=begun)
        reference = str(answer.field("data")["id"])
        content = medium.read()
        for index, start in enumerate(range(0, len(content), PART)):
            self.call_safely(
                "POST",
                self._url(f"media/upload/{reference}/append"),
                headers=headers,
                form={"segment_index": str(index)},
                files={"media": ("part", content[start : start + PART], "application/octet-stream")},
            )
        self.call_safely("POST", self._url(f"media/upload/{reference}/finalize"), headers=headers)
        return reference

    def prepare(
        self, account: Account, access_token: str, content: Content, *, uploads: Sequence[str], at: datetime
    ) -> Intent:
        """Return the post, once X is done with its film."""
        del account
        for medium, reference in zip(content.media, uploads, strict=True):
            if medium.is_film or medium.content_type == GIF:
                self._await_film(access_token, reference)
        body: dict[str, Any] = {"text": content.text} if content.text else {}
        body |= {"media": {"media_ids": list(uploads)}} if uploads else {}
        return Intent(f"x-{at.timestamp():.6f}", body, at)

    def _await_film(self, token: str, reference: str) -> None:
        query = {"command": "STATUS", "media_id": reference}
        answer = self.call_safely("GET", self._url("media/upload"), headers=bearer(token), query=query)
        state = (answer.field("data") or {}).get("processing_info") or {"state": "succeeded"}
        if state["state"] == "failed":
            raise PermanentContentError(f"X could not process the film: {state.get('error')}")
        if state["state"] != "succeeded":
            wait = timedelta(seconds=int(state.get("check_after_secs", 5)))
            raise TryAgainError("X still works on the film", after=wait)

    def publish(self, account: Account, access_token: str, intent: Intent) -> Published:
        """Post; X takes no key, so an answer that got lost leaves everything open."""
        answer = self.call("POST", self._url("tweets"), headers=bearer(access_token), json=intent.body)
        post = answer.field("data") or {}
        if not post.get("id"):
            raise UnknownOutcomeError("X answered a post without its id")
        return _published(account, post)

    def probe(
        self, account: Account, access_token: str, intent: Intent, *, known: frozenset[str]
    ) -> Published | None:
        """Look for a post of the same text in the account's own timeline since the intent."""
        text = comparable(text_to_find(intent.body.get("text")))
        try:
            for post in self._timeline(account, access_token, intent.at - CLOCK_DIFFERENCE):
                if post["id"] not in known and comparable(_original(post)) == text:
                    return _published(account, post)
        except (NotOfferedError, ReauthError, AccountBlockedError) as error:
            raise NoProbeError(f"the timeline cannot be read: {error.detail}") from error
        return None

    def _timeline(self, account: Account, token: str, since: datetime) -> Iterator[Mapping[str, Any]]:
        query = {
            "max_results": str(PAGE),
            "exclude": "retweets",
            "start_time": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tweet.fields": "created_at,entities,note_tweet",
        }
        for _ in range(MOST_PAGES):
            url = self._url(f"users/{account.remote_id}/tweets")
            answer = self.call_safely("GET", url, headers=bearer(token), query=query)
            yield from answer.field("data") or []
            following = (answer.field("meta") or {}).get("next_token")
            if not following:
                return
            query = query | {"pagination_token": following}

    def refresh(self, account: Account, refresh_token: str) -> Tokens:
        """Trade the refresh token, which is good for one use."""
        del account
        client = self._around.client()
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client.id}
        return self.trade(self._url("oauth2/token"), form, basic=(client.id, client.secret))

    def delete(self, account: Account, access_token: str, remote_id: str) -> None:
        """Delete the post."""
        del account
        with nothing_visible():
            answer = http.send("DELETE", self._url(f"tweets/{remote_id}"), headers=bearer(access_token))
            if answer.status != HTTPStatus.NOT_FOUND:
                self.checked(answer)

    def metrics(self, account: Account, access_token: str, remote_id: str) -> Metrics:
        """Read the post's public counters."""
        del account
        query = {"tweet.fields": "public_metrics"}
        answer = self.call_safely(
            "GET", self._url(f"tweets/{remote_id}"), headers=bearer(access_token), query=query
        )
        post = answer.field("data")
        if not post:
            raise PostGoneError("the post is no longer on X")
        counted = post.get("public_metrics", {})
        return Metrics(
            likes=counted.get("like_count"),
            replies=counted.get("reply_count"),
            reposts=counted.get("retweet_count"),
            quotes=counted.get("quote_count"),
            views=counted.get("impression_count"),
        )

    def classify(self, answer: Answer) -> PlatformError | None:  # noqa: PLR0911 - one per meaning
        """Judge by the status, and the many meanings of 403 by their words."""
        if answer.succeeded or (answer.empty and answer.status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT)):
            return None
        words = answer.field("detail") or answer.field("title") or "no message"
        detail = f"{answer.status}: {words}{_reasons(answer)}"
        match answer.status:
            case HTTPStatus.TOO_MANY_REQUESTS:
                return RateLimitedError(detail, until=_resets_at(answer))
            case HTTPStatus.PAYMENT_REQUIRED:
                return RateLimitedError(detail, until=datetime.now(UTC) + NO_CREDITS_WAIT)
            case HTTPStatus.UNAUTHORIZED:
                return TokenExpiredError(detail)
            case HTTPStatus.FORBIDDEN:
                return _forbidden(detail, str(answer.field("type")))
            case HTTPStatus.BAD_REQUEST if "media IDs are invalid" in detail:
                return StaleIntentError(detail)
        if answer.unclear:
            return UnknownOutcomeError(detail)
        return TryAgainError(detail) if answer.redirects else PermanentContentError(detail)

    def _url(self, path: str) -> str:
        return self._around.reach(f"{API}/{path}")


def _forbidden(detail: str, kind: str) -> PlatformError:
    words = detail.casefold()
    if "duplicate content" in words:
        return AlreadyPublishedError(detail)
    if "suspended" in words or "locked" in words:
        return AccountBlockedError(detail)
    if "too long" in words:
        return PermanentContentError(detail)
    if kind.endswith(("client-forbidden", "not-authorized-for-resource")):
        return NotOfferedError(detail)
    return ReauthError(detail)


def _reasons(answer: Answer) -> str:
    found = answer.field("errors")
    if not isinstance(found, list):
        return ""
    return "".join(f"; {each['message']}" for each in found if isinstance(each, dict) and each.get("message"))


def _published(account: Account, post: Mapping[str, Any]) -> Published:
    return Published(str(post["id"]), f"https://x.com/{account.handle.lstrip('@')}/status/{post['id']}")


def comparable(text: str) -> str:
    """Return a text as it can be compared with what X made of it: X replaces links by its own."""
    return " ".join(LINK.sub("<link>", unicodedata.normalize("NFC", text)).split())


def _original(post: Mapping[str, Any]) -> str:
    """Return a post's text with its links as they were written and without those of its media."""
    whole = post.get("note_tweet") or post
    text = str(whole.get("text", ""))
    for link in (whole.get("entities") or {}).get("urls", []):
        is_medium = "media_key" in link
        text = text.replace(link["url"], "" if is_medium else link.get("expanded_url", link["url"]))
    return html.unescape(text)


def _resets_at(answer: Answer) -> datetime:
    """Return when the last of the exhausted windows opens again."""
    resets = [
        datetime.fromtimestamp(int(answer.headers[f"{window}-reset"]), UTC)
        for window in WINDOWS
        if answer.headers.get(f"{window}-remaining") == "0"
        and answer.headers.get(f"{window}-reset", "").isdecimal()
    ]
    return max(resets, default=datetime.now(UTC) + DEFAULT_WAIT)
