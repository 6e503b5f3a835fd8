"""Social accounts: connect, connect again, disconnect, and go on after trouble."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import Field, HttpUrl, TypeAdapter, UrlConstraints
from sqlalchemy import func, select, update

from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.connecting import Connector
from intake.ingest.fields import Body, Day, Short
from intake.openapi import READ, READ_ONE, WRITE, problems
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.posting import Desk
from intake.problem import ConflictError, NotFoundError
from intake.views.base import View
from intake.views.social import AccountView, find_account, list_accounts
from models.session import tenant_session
from models.social import AccountStatus, PlatformName, PostState, SocialAccount, SocialPost
from models.user import Permission
from tasks.payloads import Text
from tasks.social_posting.platform import Identity, Tokens

router = APIRouter(prefix="/api/v1/social/accounts", tags=["social"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_SOCIAL))]
Token = Annotated[Text, Field(min_length=1, max_length=8_192)]
ServerUrl = Annotated[
    Annotated[HttpUrl, UrlConstraints(allowed_schemes=["https", "http"], max_length=500)] | None,
    Field(description="Where a federated platform's account lives: https, unless the operator trusts it."),
]
MOST_REQUEUED = 500


class Destination(Body):
    """Which account is meant."""

    platform: PlatformName
    server_url: ServerUrl = None
    account_id: Annotated[UUID | None, Field(description="The account to connect again.")] = None

    @property
    def server(self) -> str | None:
        """The server's base address."""
        return None if self.server_url is None else str(self.server_url).rstrip("/")


class AccountBody(Body):
    """An account and tokens that were obtained elsewhere. They are kept encrypted and never shown again."""

    platform: PlatformName
    handle: Short
    remote_id: Short | None = None
    server_url: ServerUrl = None
    access_token: Token
    refresh_token: Token | None = None
    expires_at: Day | None = None


class AuthorizeBody(Destination):
    """Asks for the address of a platform's page where an account's owner allows us to post."""

    redirect_url: Annotated[
        str | None,
        Field(max_length=2_048, description="Where to come back to; one that the operator allows."),
    ] = None


class CompleteBody(Body):
    """What the platform added to the address that it sent the owner back to."""

    state: Annotated[Text, Field(min_length=1, max_length=500)]
    code: Annotated[Text, Field(min_length=1, max_length=4_096)]


class PasswordBody(Destination):
    """An app password, made in the platform's own settings; traded once and not kept."""

    handle: Short
    password: Token


class Departing(View):
    """Where to send the account's owner, within ten minutes."""

    authorize_url: str
    state: str


class Connected(View):
    accounts: list[AccountView]


class Requeued(View):
    queued: int
    """Posts that were blocked and are queued again."""


_account, _account_extra = body_of("AccountBody", TypeAdapter(AccountBody))
_authorize, _authorize_extra = body_of("AuthorizeBody", TypeAdapter(AuthorizeBody))
_complete, _complete_extra = body_of("CompleteBody", TypeAdapter(CompleteBody))
_password, _password_extra = body_of("PasswordBody", TypeAdapter(PasswordBody))
_places = Cursor(TypeAdapter(UUID))

CONNECT = WRITE | problems(404, 409, 502)
ACT = READ_ONE | problems(409)
"""Of routes without a body."""


@router.post(
    "",
    status_code=201,
    responses=CONNECT,
    openapi_extra=_account_extra,
    summary="Connect a social account with tokens obtained elsewhere",
)
def connect(request: Request, caller: Manager, body: Annotated[AccountBody, _account]) -> AccountView:
    identity = Identity(body.remote_id or "", body.handle)
    tokens = Tokens(body.access_token, body.refresh_token, body.expires_at)
    server = None if body.server_url is None else str(body.server_url).rstrip("/")
    return Connector(request, caller).add(body.platform, server, identity, tokens)


@router.post(
    "/authorize",
    responses=CONNECT,
    openapi_extra=_authorize_extra,
    summary="Begin to connect an account by signing in at its platform",
)
def authorize(request: Request, caller: Manager, body: Annotated[AuthorizeBody, _authorize]) -> Departing:
    """The `state` is good once, for ten minutes, and for you alone."""
    departure, state = Connector(request, caller).begin(
        body.platform, body.server, account_id=body.account_id, redirect_url=body.redirect_url
    )
    return Departing(authorize_url=departure.url, state=state)


@router.post(
    "/complete",
    status_code=201,
    responses=CONNECT,
    openapi_extra=_complete_extra,
    summary="Connect the account with what the platform sent its owner back with",
)
def complete(request: Request, caller: Manager, body: Annotated[CompleteBody, _complete]) -> Connected:
    """A permission that covers several pages connects each of them."""
    return Connected(accounts=Connector(request, caller).complete(body.state, body.code))


@router.post(
    "/password",
    status_code=201,
    responses=CONNECT,
    openapi_extra=_password_extra,
    summary="Connect an account with an app password",
)
def connect_with_password(
    request: Request, caller: Manager, body: Annotated[PasswordBody, _password]
) -> Connected:
    connector = Connector(request, caller)
    accounts = connector.with_password(
        body.platform, body.server, handle=body.handle, password=body.password, account_id=body.account_id
    )
    return Connected(accounts=accounts)


@router.get("", responses=READ, summary="List social accounts, newest first")
def accounts(
    request: Request, caller: AnyCaller, *, cursor: CursorParameter = None, limit: Limit = 50
) -> Page[AccountView]:
    before = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_accounts(session, before=before, limit=limit + 1)
    shown, following = _places.page(rows, limit, lambda row: row.id)
    return Page(items=[AccountView.model_validate(row) for row in shown], next_cursor=following)


@router.get("/{account_id}", responses=READ_ONE, summary="One social account")
def account(request: Request, caller: AnyCaller, account_id: UUID) -> AccountView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        row = find_account(session, account_id)
    if row is None:
        raise NotFoundError("social account")
    return AccountView.model_validate(row)


@router.post("/{account_id}/resume", responses=ACT, summary="Use a paused account again")
def resume(request: Request, caller: Manager, account_id: UUID) -> AccountView:
    """After what the platform held against it is settled there."""
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        found = session.scalars(
            select(SocialAccount).where(SocialAccount.id == account_id).with_for_update()
        ).one_or_none()
        if found is None:
            raise NotFoundError("social account")
        if found.status == AccountStatus.NEEDS_REAUTH:
            raise ConflictError("account-state", "The account has to be connected again.", state=found.status)
        found.status, found.status_detail = AccountStatus.ACTIVE, None
    return account(request, caller, account_id)


@router.post(
    "/{account_id}/requeue", status_code=202, responses=ACT, summary="Queue the account's blocked posts"
)
def requeue(request: Request, caller: Manager, account_id: UUID) -> Requeued:
    """Posts that could not go out because the account was not usable; 500 at most, the oldest first."""
    if account(request, caller, account_id).status is not AccountStatus.ACTIVE:
        raise ConflictError("account-state", "The account is not active: connect or resume it first.")
    blocked = (
        select(SocialPost.id)
        .where(SocialPost.account_id == account_id, SocialPost.state == PostState.BLOCKED_REAUTH)
        .order_by(SocialPost.scheduled_at, SocialPost.id)
        .limit(MOST_REQUEUED)
    )
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        posts = session.scalars(blocked).all()
    desk = Desk(request, caller)
    for post_id in posts:
        desk.publish(post_id)
    return Requeued(queued=len(posts))


@router.delete("/{account_id}", status_code=204, responses=READ_ONE, summary="Disconnect a social account")
def disconnect(request: Request, caller: Manager, account_id: UUID) -> None:
    """Forget the tokens with it: such an account can post nothing, and nothing of it can be removed."""
    statement = (
        update(SocialAccount)
        .where(SocialAccount.id == account_id, SocialAccount.deleted_at.is_(None))
        .values(deleted_at=func.now(), access_token_encrypted=None, refresh_token_encrypted=None)
        .returning(SocialAccount.id)
    )
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        disconnected = session.execute(statement).one_or_none()
    if disconnected is None:
        raise NotFoundError("social account")
