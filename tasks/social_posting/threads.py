"""Threads: texts, pictures and films, published in two steps."""

from collections.abc import Sequence
from datetime import timedelta

from models.social import PlatformName
from tasks.social_posting.container import ContainerAdapter, Words
from tasks.social_posting.content import MEGABYTE, Limits, Medium, MediumLimits
from tasks.social_posting.length import with_emoji_as_bytes
from tasks.social_posting.platform import Account, Identity, Metrics, Tokens
from tasks.social_posting.sign_in import Exchange, OAuth, SignIn

GRAPH = "https://graph.threads.net"


class Threads(ContainerAdapter):
    """Post through the Threads interface."""

    name = PlatformName.THREADS
    api = f"{GRAPH}/v1.0"
    words = Words(
        create="threads",
        publish="threads_publish",
        listed="threads",
        status="status",
        reason="error_message",
        text="text",
    )
    limits = Limits(
        characters=500,
        media=20,
        mixed=True,
        alt_text=1_000,
        fetches=True,
        pictures=MediumLimits(20, frozenset({"image/jpeg", "image/png"}), 8 * MEGABYTE, widest=10),
        films=MediumLimits(
            20, frozenset({"video/mp4", "video/quicktime"}), 1_000 * MEGABYTE, longest=timedelta(minutes=5)
        ),
    )
    can_probe = True
    sign_in: SignIn = OAuth(
        authorize_url="https://threads.net/oauth/authorize",
        token_url=f"{GRAPH}/oauth/access_token",
        scopes=("threads_basic", "threads_content_publish", "threads_delete", "threads_manage_insights"),
        scope_separator=",",
        exchange=Exchange(
            url=f"{GRAPH}/access_token",
            grant_type="th_exchange_token",
            token_parameter="access_token",  # noqa: S106 - the name of a parameter
            client_parameters=("client_secret",),
        ),
        refreshes_itself=True,
    )
    refresh_ahead = timedelta(days=7)

    def length(self, text: str) -> int:
        """Count characters, and a picture character as its bytes."""
        return with_emoji_as_bytes(text)

    def identities(self, access_token: str, server: str | None) -> Sequence[Identity]:
        """Ask whose token this is."""
        del server
        answer = self.get(access_token, "me", fields="id,username")
        return [Identity(str(answer.field("id")), str(answer.field("username")))]

    def described(self, medium: Medium) -> dict[str, str]:
        """Return the medium by its address, with its alt text."""
        told = {"alt_text": medium.alt_text} if medium.alt_text else {}
        if medium.is_film:
            return {"media_type": "VIDEO", "video_url": str(medium.url)} | told
        return {"media_type": "IMAGE", "image_url": str(medium.url)} | told

    def refresh(self, account: Account, refresh_token: str) -> Tokens:
        """Trade the long-lived token for another."""
        del account
        return self.refresh_itself("th_refresh_token", refresh_token)

    def metrics(self, account: Account, access_token: str, remote_id: str) -> Metrics:
        """Read the post's insights."""
        del account
        names = "views,likes,replies,reposts,quotes"
        answer = self.get(access_token, f"{remote_id}/insights", metric=names)
        told = {each["name"]: each["values"][0]["value"] for each in answer.field("data") or []}
        return Metrics(**{name: told.get(name) for name in names.split(",")})
