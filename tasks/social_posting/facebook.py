"""Facebook pages: pictures are handed over unpublished, then one post names them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import orjson

from models.social import PlatformName
from tasks.social_posting.adapter import CLOCK_DIFFERENCE, moment_of, text_to_find
from tasks.social_posting.content import MEGABYTE, Content, Limits, Medium, MediumLimits
from tasks.social_posting.error import NoProbeError, ReauthError, UnknownOutcomeError
from tasks.social_posting.http import bearer
from tasks.social_posting.length import utf16
from tasks.social_posting.meta import MetaAdapter
from tasks.social_posting.platform import Account, Identity, Intent, Metrics, Published, Tokens
from tasks.social_posting.sign_in import Exchange, OAuth, SignIn

GRAPH = "https://graph.facebook.com/v25.0"
PAGE = 100
MOST_PAGES = 4


class Facebook(MetaAdapter):
    """Post as a page, with the page's own token."""

    name = PlatformName.FACEBOOK
    api = GRAPH
    limits = Limits(
        characters=63_206,
        media=10,
        alt_text=1_000,
        pictures=MediumLimits(10, frozenset({"image/jpeg", "image/png", "image/gif"}), 4 * MEGABYTE),
    )
    can_probe = True
    sign_in: SignIn = OAuth(
        authorize_url="https://www.facebook.com/v25.0/dialog/oauth",
        token_url=f"{GRAPH}/oauth/access_token",
        scopes=("pages_show_list", "pages_manage_posts", "pages_read_engagement"),
        scope_separator=",",
        exchange=Exchange(
            url=f"{GRAPH}/oauth/access_token",
            grant_type="fb_exchange_token",
            token_parameter="fb_exchange_token",  # noqa: S106 - the name of a parameter
            client_parameters=("client_id", "client_secret"),
        ),
    )
    refresh_ahead = timedelta(0)

    def length(self, text: str) -> int:
        """Count UTF-16 units."""
        return utf16(text)

    def identities(self, access_token: str, server: str | None) -> Sequence[Identity]:
        """Return the pages that the person manages, each with its own token, which does not end."""
        del server
        rows = self.pages(access_token, "me/accounts", most=MOST_PAGES, fields="id,name,access_token")
        return [
            Identity(str(row["id"]), str(row["name"]), {}, Tokens(str(row["access_token"]), None, None))
            for row in rows
        ]

    def upload(self, account: Account, access_token: str, medium: Medium, *, count: int = 1) -> str:
        """Hand over a picture without publishing it."""
        del count
        told = {"alt_text_custom": medium.alt_text} if medium.alt_text else {}
        answer = self.call_safely(
            "POST",
            self._url(f"{account.remote_id}/photos"),
            headers=bearer(access_token),
            form={"published": "false"} | told,
            files={"source": ("medium", medium.read(), medium.content_type)},
        )
        return str(answer.field("id"))

    def prepare(
        self, account: Account, access_token: str, content: Content, *, uploads: Sequence[str], at: datetime
    ) -> Intent:
        """Return the post's form."""
        del account, access_token
        body = {"message": content.text} if content.text else {}
        if uploads:
            body["attached_media"] = orjson.dumps([{"media_fbid": each} for each in uploads]).decode()
        return Intent(f"facebook-{at.timestamp():.6f}", body, at)

    def publish(self, account: Account, access_token: str, intent: Intent) -> Published:
        """Post to the page; Facebook takes no key."""
        answer = self.post(access_token, f"{account.remote_id}/feed", **intent.body)
        if not answer.field("id"):
            raise UnknownOutcomeError("Facebook answered a post without its id")
        return _published(str(answer.field("id")), None)

    def probe(
        self, account: Account, access_token: str, intent: Intent, *, known: frozenset[str]
    ) -> Published | None:
        """Look for a post of the same text among the page's since the intent."""
        text, since = text_to_find(intent.body.get("message")), intent.at - CLOCK_DIFFERENCE
        query = {
            "fields": "id,message,created_time,permalink_url",
            "since": str(int(since.timestamp())),
            "limit": str(PAGE),
        }
        try:
            for post in self.pages(access_token, f"{account.remote_id}/posts", most=MOST_PAGES, **query):
                is_new = moment_of(post["created_time"]) >= since and post["id"] not in known
                if is_new and post.get("message") == text:
                    return _published(str(post["id"]), post.get("permalink_url"))
        except ReauthError as error:
            raise NoProbeError(f"the page's posts cannot be read: {error.detail}") from error
        return None

    def refresh(self, account: Account, refresh_token: str) -> Tokens:
        """Refuse: a page's token lives as long as the person who gave it manages the page."""
        del account, refresh_token
        raise ReauthError("a page's token cannot be refreshed")

    def metrics(self, account: Account, access_token: str, remote_id: str) -> Metrics:
        """Read the post's counters."""
        del account
        fields = "reactions.summary(total_count).limit(0),comments.summary(total_count).limit(0),shares"
        answer = self.get(access_token, remote_id, fields=fields)
        return Metrics(
            likes=_total(answer.field("reactions")),
            replies=_total(answer.field("comments")),
            reposts=(answer.field("shares") or {}).get("count", 0),
        )


def _total(edge: object) -> int | None:
    return edge.get("summary", {}).get("total_count") if isinstance(edge, dict) else None


def _published(post_id: str, link: str | None) -> Published:
    return Published(post_id, link or f"https://www.facebook.com/{post_id}")
