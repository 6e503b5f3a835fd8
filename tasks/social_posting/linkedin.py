"""LinkedIn: no idempotency key, and only the posts of an organization's page may be read back."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from config.settings import get_settings
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
    StaleUploadsError,
    TokenExpiredError,
    TryAgainError,
    UnknownOutcomeError,
    nothing_visible,
)
from tasks.social_posting.http import Answer, bearer
from tasks.social_posting.length import utf16
from tasks.social_posting.platform import Account, Identity, Intent, Metrics, Published, Tokens
from tasks.social_posting.sign_in import OAuth, SignIn

API = "https://api.linkedin.com"
TOKEN_URL = "https://www.linkedin.com/oauth/v2/accessToken"  # noqa: S105 - an address
PAGE = 50
MOST_PAGES = 4
MINUTE = timedelta(minutes=1)
FILM_WAIT = timedelta(seconds=10)
OLD_VERSION_WAIT = timedelta(hours=1)
ORGANIZATION = "urn:li:organization:"

_RESERVED = re.compile(r"([\\|{}@\[\]()<>#*_~])")


class LinkedIn(Adapter):
    """Post through LinkedIn's versioned Posts interface, as a person or as an organization."""

    name = PlatformName.LINKEDIN
    limits = Limits(
        characters=3_000,
        media=20,
        pictures=MediumLimits(20, frozenset({"image/jpeg", "image/png", "image/gif"}), 8 * MEGABYTE),
        films=MediumLimits(
            1,
            frozenset({"video/mp4"}),
            500 * MEGABYTE,
            shortest=timedelta(seconds=3),
            longest=timedelta(minutes=30),
        ),
        alt_text=4_086,
    )
    can_probe = True
    sign_in: SignIn = OAuth(
        authorize_url="https://www.linkedin.com/oauth/v2/authorization",
        token_url=TOKEN_URL,
        scopes=("openid", "profile", "w_member_social"),
        optional_scopes=("w_organization_social", "r_organization_social", "rw_organization_admin"),
    )
    refresh_ahead = timedelta(days=7)

    def length(self, text: str) -> int:
        """Count UTF-16 units of the text as it is written, without the escapes that are sent."""
        return utf16(text)

    def identities(self, access_token: str, server: str | None) -> Sequence[Identity]:
        """Ask who this is, and which organizations' pages they may post for."""
        del server
        answer = self.call_safely("GET", self._url("v2/userinfo"), headers=bearer(access_token))
        person = Identity(f"urn:li:person:{answer.field('sub')}", str(answer.field("name")))
        return [person, *self._organizations(access_token)]

    def _organizations(self, token: str) -> Iterator[Identity]:
        query = {"q": "roleAssignee", "role": "ADMINISTRATOR", "state": "APPROVED"}
        with nothing_visible():
            found = self._send("GET", "rest/organizationAcls", token, query=query)
            if found.status == HTTPStatus.FORBIDDEN:  # no scope for organizations
                return
            for each in self.checked(found).field("elements") or []:
                number = str(each["organization"]).removeprefix(ORGANIZATION)
                page = self.checked(self._send("GET", f"rest/organizations/{number}", token))
                yield Identity(f"{ORGANIZATION}{number}", str(page.field("localizedName")))

    def upload(self, account: Account, access_token: str, medium: Medium, *, count: int = 1) -> str:
        """Ask where to send the medium, and send it there: a film in the parts that LinkedIn names."""
        del count
        with nothing_visible():
            if medium.is_film:
                return self._upload_film(account, access_token, medium)
            place = self._begin(access_token, "rest/images", {"owner": account.remote_id})
            self._put(access_token, place["uploadUrl"], medium.read(), medium.content_type)
        return str(place["image"])

    def _upload_film(self, account: Account, token: str, medium: Medium) -> str:
        wanted = {
            "owner": account.remote_id,
            "fileSizeBytes": medium.size,
            "uploadCaptions": False,
            "uploadThumbnail": False,
        }
        place, content = self._begin(token, "rest/videos", wanted), medium.read()
        parts = [
            self._put(
                token,
                part["uploadUrl"],
                content[part["firstByte"] : part["lastByte"] + 1],
                "application/octet-stream",
            ).headers.get("etag", "")
            for part in place["uploadInstructions"]
        ]
        ended = {"video": place["video"], "uploadToken": place["uploadToken"], "uploadedPartIds": parts}
        query, body = {"action": "finalizeUpload"}, {"finalizeUploadRequest": ended}
        self.checked(self._send("POST", "rest/videos", token, query=query, json=body))
        return str(place["video"])

    def _begin(self, token: str, path: str, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        query, body = {"action": "initializeUpload"}, {"initializeUploadRequest": wanted}
        place = self.checked(self._send("POST", path, token, query=query, json=body)).field("value")
        if not isinstance(place, dict):
            raise TryAgainError("LinkedIn named no place for a medium")
        return place

    def _put(self, token: str, url: str, content: bytes, kind: str) -> Answer:
        headers = bearer(token) | {"Content-Type": kind}
        return self.checked(http.send("PUT", self._own_address(url), headers=headers, content=content))

    def _await_film(self, token: str, urn: str) -> None:
        """Return when LinkedIn is done with a film."""
        with nothing_visible():
            answer = self._send("GET", f"rest/videos/{quote(urn, safe='')}", token)
            if answer.status == HTTPStatus.NOT_FOUND:
                raise StaleUploadsError("LinkedIn no longer has the film")
            state = str(self.checked(answer).field("status"))
        if state == "PROCESSING_FAILED":
            raise PermanentContentError("LinkedIn could not process the film")
        if state != "AVAILABLE":
            raise TryAgainError("LinkedIn still works on the film", after=FILM_WAIT)

    def _own_address(self, url: str) -> str:
        """Return the address if it is LinkedIn's: the token goes along."""
        here = urlsplit(self._url("")).netloc
        host = urlsplit(url).netloc
        if host != here and not host.endswith(".linkedin.com"):
            raise TryAgainError("LinkedIn named an upload address that is not its own")
        return url

    def prepare(
        self, account: Account, access_token: str, content: Content, *, uploads: Sequence[str], at: datetime
    ) -> Intent:
        """Return the post, its text escaped as LinkedIn's format wants it, once its film is ready."""
        for medium, urn in zip(content.media, uploads, strict=True):
            if medium.is_film:
                self._await_film(access_token, urn)
        body: dict[str, Any] = {
            "author": account.remote_id,
            "commentary": escaped(content.text),
            "visibility": "PUBLIC",
            "distribution": {
                "feedDistribution": "MAIN_FEED",
                "targetEntities": [],
                "thirdPartyDistributionChannels": [],
            },
            "lifecycleState": "PUBLISHED",
            "isReshareDisabledByAuthor": False,
        }
        pictures = [
            {"id": urn, "altText": medium.alt_text} if medium.alt_text else {"id": urn}
            for medium, urn in zip(content.media, uploads, strict=True)
        ]
        if pictures:
            is_one = len(pictures) == 1
            body["content"] = {"media": pictures[0]} if is_one else {"multiImage": {"images": pictures}}
        return Intent(f"linkedin-{at.timestamp():.6f}", body, at)

    def publish(self, account: Account, access_token: str, intent: Intent) -> Published:
        """Post; the id comes in a header."""
        del account
        answer = self.checked(self._send("POST", "rest/posts", access_token, json=intent.body))
        urn = answer.headers.get("x-restli-id")
        if not urn:
            raise UnknownOutcomeError("LinkedIn answered a post without its id")
        return _published(urn)

    def probe(
        self, account: Account, access_token: str, intent: Intent, *, known: frozenset[str]
    ) -> Published | None:
        """Look for a post of the same text among the organization's; a person's may not be read."""
        if not str(account.remote_id).startswith(ORGANIZATION):
            raise NoProbeError("LinkedIn lets nobody read the posts of a person")
        text = text_to_find(intent.body["commentary"])
        since = (intent.at - CLOCK_DIFFERENCE).timestamp() * 1_000
        try:
            for post in self._posts(account, access_token):
                if post.get("createdAt", 0) < since:
                    return None
                if post["id"] not in known and post.get("commentary") == text:
                    return _published(str(post["id"]))
        except ReauthError as error:
            raise NoProbeError(f"the organization's posts cannot be read: {error.detail}") from error
        return None

    def _posts(self, account: Account, token: str) -> Iterator[Mapping[str, Any]]:
        for page in range(MOST_PAGES):
            query = {
                "q": "author",
                "author": str(account.remote_id),
                "sortBy": "CREATED",
                "count": str(PAGE),
                "start": str(page * PAGE),
            }
            with nothing_visible():
                answer = self.checked(self._send("GET", "rest/posts", token, query=query, finder=True))
            found = answer.field("elements") or []
            yield from found
            if len(found) < PAGE:
                return

    def refresh(self, account: Account, refresh_token: str) -> Tokens:
        """Trade the refresh token, which LinkedIn gives to approved partners only."""
        del account
        client = self._around.client()
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": client.id,
            "client_secret": client.secret,
        }
        return self.trade(self._around.reach(TOKEN_URL), form)

    def delete(self, account: Account, access_token: str, remote_id: str) -> None:
        """Delete the post."""
        del account
        with nothing_visible():
            answer = self._send("DELETE", f"rest/posts/{quote(remote_id, safe='')}", access_token)
            if answer.status != HTTPStatus.NOT_FOUND:
                self.checked(answer)

    def metrics(self, account: Account, access_token: str, remote_id: str) -> Metrics:
        """Read likes and comments, where the account may."""
        del account
        with nothing_visible():
            path = f"rest/socialActions/{quote(remote_id, safe='')}"
            answer = self._send("GET", path, access_token)
            if answer.status == HTTPStatus.NOT_FOUND:
                raise PostGoneError("the post is no longer on LinkedIn")
            if answer.status == HTTPStatus.FORBIDDEN:
                raise NotOfferedError("LinkedIn lets this account read no counters")
            self.checked(answer)
        return Metrics(
            likes=(answer.field("likesSummary") or {}).get("totalLikes"),
            replies=(answer.field("commentsSummary") or {}).get("aggregatedTotalComments"),
        )

    def classify(self, answer: Answer) -> PlatformError | None:  # noqa: PLR0911 - one per meaning
        """Judge by the status and the error's code."""
        if answer.succeeded or (answer.empty and answer.status // 100 == http.SUCCESS):
            return None
        code = str(answer.field("code") or "")
        message = str(answer.field("message") or "no message")
        detail = f"{answer.status} {code}: {message}"
        match answer.status:
            case HTTPStatus.UNAUTHORIZED:
                return ReauthError(detail) if code.startswith("REVOKED") else TokenExpiredError(detail)
            case HTTPStatus.FORBIDDEN:
                is_blocked = "restricted" in message.casefold()
                return AccountBlockedError(detail) if is_blocked else ReauthError(detail)
            case HTTPStatus.TOO_MANY_REQUESTS:
                return RateLimitedError(detail, until=_resets_at(message))
            case HTTPStatus.UPGRADE_REQUIRED:  # the version is no longer served: the operator names another
                return TryAgainError(detail, after=OLD_VERSION_WAIT)
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY and "duplicate" in message.casefold():
            return AlreadyPublishedError(detail)
        if answer.unclear:
            return UnknownOutcomeError(detail)
        return TryAgainError(detail) if answer.redirects else PermanentContentError(detail)

    def _send(  # noqa: PLR0913 - one parameter per part of a request
        self,
        method: str,
        path: str,
        token: str,
        *,
        query: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        finder: bool = False,
    ) -> Answer:
        headers = bearer(token) | {
            "LinkedIn-Version": get_settings().linkedin_version,
            "X-Restli-Protocol-Version": "2.0.0",
        }
        if finder:
            headers["X-RestLi-Method"] = "FINDER"
        return http.send(method, self._url(path), headers=headers, query=query, json=json)

    def _url(self, path: str) -> str:
        return self._around.reach(f"{API}/{path}")


def escaped(text: str) -> str:
    """Return a text in which nothing is markup to LinkedIn."""
    return _RESERVED.sub(r"\\\1", text)


def _published(urn: str) -> Published:
    return Published(urn, f"https://www.linkedin.com/feed/update/{urn}/")


def _resets_at(message: str) -> datetime:
    """Return when the throttle ends: LinkedIn names its length in words, and days end at midnight UTC."""
    now = datetime.now(UTC)
    if "MINUTE" in message:
        return now + MINUTE
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
