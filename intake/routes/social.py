"""Posts: write, change, schedule, cancel, decide, remove."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import TypeAdapter
from sqlalchemy import select
from uuid_utils.compat import uuid7

from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.openapi import READ, READ_ONE, WRITE, problems
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.post_body import Decision, PostBody, PostChange, SeveralBody, refuse_fields
from intake.posting import Desk
from intake.problem import NotFoundError
from intake.submission import KeyHeader
from intake.views.base import View
from intake.views.social import PostView, WrittenPost, find_post, list_posts
from models.session import tenant_session
from models.social import PlatformName, PostState, SocialAccount
from models.user import Permission

router = APIRouter(prefix="/api/v1/social/posts", tags=["social"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_SOCIAL))]

_post, _post_extra = body_of("PostBody", TypeAdapter(PostBody))
_several, _several_extra = body_of("SeveralBody", TypeAdapter(SeveralBody))
_change, _change_extra = body_of("PostChange", TypeAdapter(PostChange))
_decision, _decision_extra = body_of("Decision", TypeAdapter(Decision))
_places = Cursor(TypeAdapter(UUID))

CHANGE = WRITE | problems(404, 409)
ACT = READ_ONE | problems(409)
"""Of routes without a body."""


class WrittenPosts(View):
    """One post for several accounts."""

    group_id: UUID
    items: list[WrittenPost]


@router.post(
    "",
    status_code=201,
    responses=CHANGE,
    openapi_extra=_post_extra,
    summary="Write a post, and have it published at a time",
)
def write(
    request: Request, caller: Manager, body: Annotated[PostBody, _post], key: KeyHeader = None
) -> WrittenPost:
    [written] = Desk(request, caller).write([body], key=key)
    return written


@router.post(
    "/several",
    status_code=201,
    responses=CHANGE,
    openapi_extra=_several_extra,
    summary="Write one post for several accounts, said otherwise where a platform needs it",
)
def write_several(
    request: Request, caller: Manager, body: Annotated[SeveralBody, _several], key: KeyHeader = None
) -> WrittenPosts:
    """All of them are accepted or none."""
    platforms = _platforms_of(request, caller, body)
    bodies = [body.for_account(account_id, platforms[account_id]) for account_id in body.account_ids]
    items = Desk(request, caller).write(bodies, key=key, group_id=uuid7())
    return WrittenPosts(group_id=items[0].group_id or uuid7(), items=items)


def _platforms_of(request: Request, caller: Caller, body: SeveralBody) -> dict[UUID, PlatformName]:
    columns = (SocialAccount.id, SocialAccount.platform)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = session.execute(select(*columns).where(SocialAccount.id.in_(body.account_ids))).all()
    found = {row.id: PlatformName(row.platform) for row in rows}
    for index, account_id in enumerate(body.account_ids):
        if account_id not in found:
            raise refuse_fields((f"account_ids[{index}]", "is no account of yours"))
    return found


@router.get("", responses=READ, summary="List posts, newest first")
def posts(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    caller: AnyCaller,
    *,
    state: PostState | None = None,
    account_id: UUID | None = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[PostView]:
    """`state=parked_unconfirmed` lists the posts that wait for a person's decision."""
    before = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_posts(session, state=state, account_id=account_id, before=before, limit=limit + 1)
    shown, following = _places.page(rows, limit, lambda row: row.id)
    return Page(items=[PostView.model_validate(row) for row in shown], next_cursor=following)


@router.get("/{post_id}", responses=READ_ONE, summary="One post")
def post(request: Request, caller: AnyCaller, post_id: UUID) -> PostView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        row = find_post(session, post_id)
    if row is None:
        raise NotFoundError("post")
    return PostView.model_validate(row)


@router.patch(
    "/{post_id}",
    responses=CHANGE,
    openapi_extra=_change_extra,
    summary="Change a post that is not on its way",
)
def change(
    request: Request, caller: Manager, post_id: UUID, body: Annotated[PostChange, _change]
) -> WrittenPost:
    return Desk(request, caller).change(post_id, body)


@router.post("/{post_id}/publish", status_code=202, responses=ACT, summary="Publish a post now")
def publish(request: Request, caller: Manager, post_id: UUID) -> WrittenPost:
    """Also a draft, a cancelled one, or one that failed and whose cause is mended."""
    return Desk(request, caller).publish(post_id)


@router.post("/{post_id}/cancel", responses=ACT, summary="Let a post not go out")
def cancel(request: Request, caller: Manager, post_id: UUID) -> WrittenPost:
    return Desk(request, caller).cancel(post_id)


@router.post(
    "/{post_id}/decision",
    responses=CHANGE,
    openapi_extra=_decision_extra,
    summary="Say what became of a post whose fate nobody knew",
)
def decide(
    request: Request, caller: Manager, post_id: UUID, body: Annotated[Decision, _decision]
) -> WrittenPost:
    """Published at a url, or not; then it is posted again if you say so, else given up."""
    return Desk(request, caller).decide(post_id, body)


@router.delete("/{post_id}", status_code=202, responses=ACT, summary="Remove a post, from its platform too")
def delete(
    request: Request,
    caller: Manager,
    post_id: UUID,
    *,
    erase: Annotated[bool, Query(description="Also forget what it said.")] = False,
) -> WrittenPost:
    return Desk(request, caller).delete(post_id, erase=erase)
