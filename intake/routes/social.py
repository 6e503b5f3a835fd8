"""Social accounts and the posts that go out through them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import Field, HttpUrl, TypeAdapter, UrlConstraints
from sqlalchemy import func, insert, select, update
from uuid_utils.compat import uuid7

from intake.allowance import make_room
from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.ingest.fields import Body, Day, Short
from intake.openapi import READ, READ_ONE, WRITE, problems
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.problem import FieldError, InvalidRequestError, NotFoundError
from intake.views.social import (
    ACCOUNT_COLUMNS,
    AccountView,
    PostView,
    find_post,
    list_accounts,
    list_posts,
)
from models.session import tenant_session
from models.social import PlatformName, PostState, SocialAccount, SocialPost
from models.user import Permission
from tasks.catalog import PUBLISH_POST
from tasks.payloads import LONGEST_POST, MEDIA_PER_POST, Media, PublishPost, Text
from tasks.social_posting.media import attach
from tasks.vault import Place, Vault
from worker.submit import Submission, SubmitError, submit

router = APIRouter(prefix="/api/v1/social", tags=["social"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_SOCIAL))]
Token = Annotated[Text, Field(min_length=1, max_length=8_192)]
ServerUrl = Annotated[HttpUrl, UrlConstraints(allowed_schemes=["https"], max_length=500)]


class AccountBody(Body):
    """An account to post through. Its tokens are kept encrypted and never shown again."""

    platform: PlatformName
    handle: Short
    remote_id: Short | None = None
    server_url: Annotated[
        ServerUrl | None, Field(description="Where a federated platform's account lives.")
    ] = None
    access_token: Token
    refresh_token: Token | None = None
    expires_at: Day | None = None


class PostBody(Body):
    """A post. With `scheduled_at` it is published then; without, it is a draft until a job publishes it."""

    account_id: UUID
    text: Annotated[Text, Field(min_length=1, max_length=LONGEST_POST)]
    media: Annotated[tuple[Media, ...], Field(max_length=MEDIA_PER_POST)] = ()
    campaign_id: UUID | None = None
    scheduled_at: Day | None = None


_account, _account_extra = body_of("AccountBody", TypeAdapter(AccountBody))
_post, _post_extra = body_of("PostBody", TypeAdapter(PostBody))
_places = Cursor(TypeAdapter(UUID))


@router.post(
    "/accounts",
    status_code=201,
    responses=WRITE | problems(409),
    openapi_extra=_account_extra,
    summary="Connect a social account",
)
def connect(request: Request, caller: Manager, body: Annotated[AccountBody, _account]) -> AccountView:
    organization_id = caller.tenant.organization_id
    account_id = uuid7()
    values = body.model_dump(mode="python", exclude={"access_token", "refresh_token", "server_url"})
    values |= {
        "organization_id": organization_id,
        "id": account_id,
        "server_url": None if body.server_url is None else str(body.server_url).rstrip("/"),
    }
    for name in ("access_token", "refresh_token"):
        secret = getattr(body, name)
        if secret is not None:
            column = f"{name}_encrypted"
            place = Place(organization_id, SocialAccount.__tablename__, column, account_id)
            values[column] = _vault(request).encrypt(secret, place)
    with tenant_session(request.app.state.database, organization_id) as session:
        make_room(session, caller, "social_accounts", SocialAccount)
        row = session.execute(insert(SocialAccount).values(**values).returning(*ACCOUNT_COLUMNS)).one()
    return AccountView.model_validate(row)


def _vault(request: Request) -> Vault:
    vault: Vault = request.app.state.vault
    return vault


@router.get("/accounts", responses=READ, summary="List social accounts, newest first")
def accounts(
    request: Request, caller: AnyCaller, *, cursor: CursorParameter = None, limit: Limit = 50
) -> Page[AccountView]:
    before = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_accounts(session, before=before, limit=limit + 1)
    shown, following = _places.page(rows, limit, lambda row: row.id)
    return Page(items=[AccountView.model_validate(row) for row in shown], next_cursor=following)


@router.delete(
    "/accounts/{account_id}", status_code=204, responses=READ_ONE, summary="Disconnect a social account"
)
def disconnect(request: Request, caller: Manager, account_id: UUID) -> None:
    """Forget the tokens with it: a disconnected account can post nothing."""
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


@router.post(
    "/posts",
    status_code=201,
    responses=WRITE | problems(404),
    openapi_extra=_post_extra,
    summary="Write a post, and have it published at a time",
)
def write(request: Request, caller: Manager, body: Annotated[PostBody, _post]) -> PostView:
    post_id = uuid7()
    _draft(request, caller, body, post_id)
    if body.scheduled_at is not None:
        _schedule(request, caller, body, post_id)
    return post(request, caller, post_id)


def _draft(request: Request, caller: Caller, body: PostBody, post_id: UUID) -> None:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        platform = session.scalars(
            select(SocialAccount.platform).where(SocialAccount.id == body.account_id)
        ).one_or_none()
        if platform is None:
            raise InvalidRequestError([FieldError(field="account_id", message="is no account of yours")])
        session.execute(
            insert(SocialPost).values(
                organization_id=caller.tenant.organization_id,
                id=post_id,
                account_id=body.account_id,
                campaign_id=body.campaign_id,
                platform=platform,
                body=body.text,
                media=attach(session, body.media),
                scheduled_at=body.scheduled_at,
            )
        )


def _schedule(request: Request, caller: Caller, body: PostBody, post_id: UUID) -> None:
    """Submit the job that publishes the post. A post whose job is refused does not stay."""
    submission = Submission(
        kind=PUBLISH_POST,
        payload=PublishPost(post_id=post_id),
        run_at=body.scheduled_at,
        idempotency_key=f"post/{post_id}",
    )
    database, organization_id = request.app.state.database, caller.tenant.organization_id
    changed = update(SocialPost).where(SocialPost.id == post_id, SocialPost.state == PostState.DRAFT)
    try:
        [job] = submit(
            database,
            caller.tenant,
            [submission],
            publisher=request.app.state.publisher,
            requested_by=caller.user_uuid,
            request_id=request.state.request_id,
        )
    except SubmitError:
        with tenant_session(database, organization_id) as session:
            session.execute(changed.values(deleted_at=func.now()))
        raise
    with tenant_session(database, organization_id) as session:
        session.execute(changed.values(state=PostState.QUEUED, job_id=job.id))


@router.get("/posts", responses=READ, summary="List posts, newest first")
def posts(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    caller: AnyCaller,
    *,
    state: PostState | None = None,
    account_id: UUID | None = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[PostView]:
    before = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_posts(session, state=state, account_id=account_id, before=before, limit=limit + 1)
    shown, following = _places.page(rows, limit, lambda row: row.id)
    return Page(items=[PostView.model_validate(row) for row in shown], next_cursor=following)


@router.get("/posts/{post_id}", responses=READ_ONE, summary="One post")
def post(request: Request, caller: AnyCaller, post_id: UUID) -> PostView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        row = find_post(session, post_id)
    if row is None:
        raise NotFoundError("post")
    return PostView.model_validate(row)
