"""Instagram: pictures and films that it fetches by their address, published in two steps."""

from collections.abc import Sequence
from datetime import timedelta

from models.social import PlatformName
from tasks.social_posting.container import ContainerAdapter, Words
from tasks.social_posting.content import MEGABYTE, Limits, Medium, MediumLimits
from tasks.social_posting.error import NotOfferedError
from tasks.social_posting.length import utf16
from tasks.social_posting.platform import Account, Identity, Metrics, Tokens
from tasks.social_posting.sign_in import Exchange, OAuth, SignIn

GRAPH = "https://graph.instagram.com"


class Instagram(ContainerAdapter):
    """Post to a professional account, by Instagram's own sign-in."""

    name = PlatformName.INSTAGRAM
    api = f"{GRAPH}/v25.0"
    words = Words(
        create="media",
        publish="media_publish",
        listed="media",
        status="status_code",
        reason="status",
        text="caption",
    )
    limits = Limits(
        characters=2_200,
        media=10,
        mixed=True,
        needs_medium=True,
        hashtags=30,
        alt_text=1_000,
        fetches=True,
        pictures=MediumLimits(10, frozenset({"image/jpeg"}), 8 * MEGABYTE, narrowest=0.8, widest=1.91),
        films=MediumLimits(
            10,
            frozenset({"video/mp4", "video/quicktime"}),
            300 * MEGABYTE,
            shortest=timedelta(seconds=3),
            longest=timedelta(minutes=15),
        ),
    )
    can_probe = True
    sign_in: SignIn = OAuth(
        authorize_url="https://www.instagram.com/oauth/authorize",
        token_url="https://api.instagram.com/oauth/access_token",  # noqa: S106 - an address
        scopes=(
            "instagram_business_basic",
            "instagram_business_content_publish",
            "instagram_business_manage_insights",
        ),
        scope_separator=",",
        exchange=Exchange(
            url=f"{GRAPH}/access_token",
            grant_type="ig_exchange_token",
            token_parameter="access_token",  # noqa: S106 - the name of a parameter
            client_parameters=("client_secret",),
        ),
        refreshes_itself=True,
    )
    refresh_ahead = timedelta(days=7)

    def length(self, text: str) -> int:
        """Count UTF-16 units."""
        return utf16(text)

    def identities(self, access_token: str, server: str | None) -> Sequence[Identity]:
        """Ask whose token this is."""
        del server
        answer = self.get(access_token, "me", fields="user_id,username")
        return [Identity(str(answer.field("user_id")), str(answer.field("username")))]

    def described(self, medium: Medium) -> dict[str, str]:
        """Return a film as a reel, a picture with its alt text."""
        if medium.is_film:
            return {"media_type": "REELS", "video_url": str(medium.url)}
        told = {"alt_text": medium.alt_text} if medium.alt_text else {}
        return {"image_url": str(medium.url)} | told

    def refresh(self, account: Account, refresh_token: str) -> Tokens:
        """Trade the long-lived token for another."""
        del account
        return self.refresh_itself("ig_refresh_token", refresh_token)

    def delete(self, account: Account, access_token: str, remote_id: str) -> None:
        """Refuse: what is on Instagram only its owner removes, by hand."""
        del account, access_token, remote_id
        raise NotOfferedError("Instagram lets no program delete a post: remove it in the app")

    def metrics(self, account: Account, access_token: str, remote_id: str) -> Metrics:
        """Read the post's insights."""
        del account
        answer = self.get(access_token, f"{remote_id}/insights", metric="views,likes,comments,shares")
        told = {each["name"]: each["values"][0]["value"] for each in answer.field("data") or []}
        return Metrics(
            likes=told.get("likes"),
            replies=told.get("comments"),
            reposts=told.get("shares"),
            views=told.get("views"),
        )
