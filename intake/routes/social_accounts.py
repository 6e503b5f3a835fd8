"""Social accounts: connect, connect again, disconnect, and go on after trouble."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import Field, TypeAdapter
from sqlalchemy import select

from intake.auth import Caller, allowed
from intake.body import body_of
from intake.connecting import Connector
from intake.ingest.fields import Body, Short
from intake.openapi import READ_ONE, WRITE, problems
from intake.posting import Desk
from intake.problem import ConflictError
from intake.resource.etag import answer
from intake.resource.repository import open_repository
from intake.resource.router import TAGGED, routes_of
from intake.social_account import ACCOUNTS, ServerUrl, Token, trusted_server
from intake.views.base import View
from intake.views.social import AccountView
from models.social import AccountStatus, PlatformName, PostState, SocialPost
from models.user import Permission
from tasks.payloads import Text

router = routes_of(ACCOUNTS)

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_SOCIAL))]
MOST_REQUEUED = 500


class Destination(Body):
    """Which account is meant."""

    platform: PlatformName
    server_url: ServerUrl = None
    account_id: Annotated[UUID | None, Field(description="The account to connect again.")] = None

    @property
    def server(self) -> str | None:
        """The server's base address."""
        return trusted_server(self.server_url)


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


_authorize, _authorize_extra = body_of("AuthorizeBody", TypeAdapter(AuthorizeBody))
_complete, _complete_extra = body_of("CompleteBody", TypeAdapter(CompleteBody))
_password, _password_extra = body_of("PasswordBody", TypeAdapter(PasswordBody))

CONNECT = WRITE | problems(404, 409, 502)
ACT = READ_ONE | problems(409)
"""Of routes without a body."""


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


@router.post(
    "/{item_id}/resume",
    response_model=AccountView,
    responses=ACT | TAGGED,
    summary="Use a paused account again",
)
def resume(request: Request, caller: Manager, item_id: UUID) -> Response:
    """After what the platform held against it is settled there."""
    with open_repository(request, caller, ACCOUNTS) as repository:
        held: Any = repository.hold(item_id)
        if held.status is AccountStatus.NEEDS_REAUTH:
            raise ConflictError("account-state", "The account has to be connected again.", state=held.status)
        return answer(repository.write(item_id, {"status": AccountStatus.ACTIVE, "status_detail": None}))


@router.post(
    "/{item_id}/requeue", status_code=202, responses=ACT, summary="Queue the account's blocked posts"
)
def requeue(request: Request, caller: Manager, item_id: UUID) -> Requeued:
    """Posts that could not go out because the account was not usable; 500 at most, the oldest first."""
    blocked = (
        select(SocialPost.id)
        .where(SocialPost.account_id == item_id, SocialPost.state == PostState.BLOCKED_REAUTH)
        .order_by(SocialPost.scheduled_at, SocialPost.id)
        .limit(MOST_REQUEUED)
    )
    with open_repository(request, caller, ACCOUNTS) as repository:
        found: Any = repository.find(item_id)
        if found.status is not AccountStatus.ACTIVE:
            raise ConflictError("account-state", "The account is not active: connect or resume it first.")
        posts = repository.session.scalars(blocked).all()
    desk = Desk(request, caller)
    for post_id in posts:
        desk.publish(post_id)
    return Requeued(queued=len(posts))
