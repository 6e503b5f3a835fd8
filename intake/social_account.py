"""What a social account is over HTTP: made with tokens, listed, read and disconnected."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, HttpUrl, UrlConstraints
from uuid_utils.compat import uuid7

from config.settings import get_settings
from intake.ingest.fields import Body, Day, Short
from intake.post_body import refuse_fields
from intake.resource.declaration import Resource, Rules, Values, equals
from intake.resource.repository import Repository
from intake.views.social import AccountView
from models.social import AccountStatus, PlatformName, SocialAccount
from models.user import Permission
from tasks.payloads import Text
from tasks.social_posting.account import ACCESS, REFRESH, seal_tokens
from tasks.social_posting.platform import Tokens
from tasks.vault import get_vault

Token = Annotated[Text, Field(min_length=1, max_length=8_192)]
ServerUrl = Annotated[
    Annotated[HttpUrl, UrlConstraints(allowed_schemes=["https", "http"], max_length=500)] | None,
    Field(description="Where a federated platform's account lives: https, unless the operator trusts it."),
]


class AccountBody(Body):
    """An account and tokens that were obtained elsewhere. They are kept encrypted and never shown again."""

    platform: PlatformName
    handle: Short
    remote_id: Short | None = None
    server_url: ServerUrl = None
    access_token: Token
    refresh_token: Token | None = None
    expires_at: Day | None = None


class FoundAccount(Body):
    """An account as its platform tells of it, with tokens for it."""

    platform: PlatformName
    server_url: str | None
    handle: str
    remote_id: str | None
    attributes: dict[str, Any]
    access_token: str
    refresh_token: str | None
    expires_at: datetime | None


def seal(organization_id: UUID, account_id: UUID, values: Values) -> Values:
    """Return *values* with the tokens among them encrypted, for this row and no other."""
    tokens = Tokens(values.pop("access_token"), values.pop("refresh_token"), values.pop("expires_at"))
    return values | seal_tokens(get_vault(), organization_id, account_id, tokens)


def trusted_server(server_url: HttpUrl | str | None) -> str | None:
    """Return a server's base address; whether it is public is looked at with each call.

    Raises:
        InvalidRequestError: It is neither https nor trusted.
    """
    server = None if server_url is None else str(server_url).rstrip("/")
    if server is None or server.startswith("https://") or server in get_settings().trusted_servers:
        return server
    raise refuse_fields(("server_url", "must be an https address"))


class _Rules(Rules):
    def made(self, repository: Repository, values: Values) -> Values:
        """Keep the tokens encrypted, and post to no server that is not trusted."""
        account_id = uuid7()
        known = {"id": account_id, "server_url": trusted_server(values["server_url"])}
        return seal(repository.caller.tenant.organization_id, account_id, values | known)

    def removed(self, repository: Repository, row: Any) -> Values:  # noqa: ARG002 - as the base has it
        """Forget the tokens: such an account can post nothing, and nothing of it can be removed."""
        return {ACCESS: None, REFRESH: None}


# Nothing of one is the tenant's to change: the platform names it, and its status comes of what happens to it.
# Nor is one restored (its view has no `deleted_at`): its tokens are gone, so it is connected anew.
ACCOUNTS = Resource(
    name="social account",
    path="/social/accounts",
    table=SocialAccount,
    view=AccountView,
    create=AccountBody,
    manage=Permission.MANAGE_SOCIAL,
    filters={
        "platform": equals(SocialAccount.platform, PlatformName),
        "status": equals(SocialAccount.status, AccountStatus),
    },
    meter="social_accounts",
    rules=_Rules(),
)
