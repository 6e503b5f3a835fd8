"""Posts: write, change, schedule, cancel, decide, remove."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import TypeAdapter
from sqlalchemy import select
from uuid_utils.compat import uuid7

from intake.auth import Caller, allowed
from intake.body import body_of
from intake.openapi import READ_ONE, WRITE, problems
from intake.post_body import Decision, PostBody, PostChange, SeveralBody, refuse_fields
from intake.posting import Desk
from intake.resource.declaration import Resource, equals
from intake.resource.etag import IfMatch
from intake.resource.router import CHANGE, routes_of
from intake.submission import KeyHeader
from intake.views.base import View
from intake.views.social import PostView, WrittenPost
from models.session import tenant_session
from models.social import PlatformName, PostState, SocialAccount, SocialPost
from models.user import Permission

# To write, change or remove one is more than its row: its job comes after, in transactions of its own.
POSTS = Resource(
    name="post",
    path="/social/posts",
    table=SocialPost,
    view=PostView,
    manage=Permission.MANAGE_SOCIAL,
    removable=False,
    filters={
        "state": equals(SocialPost.state, PostState),  # parked_unconfirmed: a person is to decide
        "account_id": equals(SocialPost.account_id, UUID),
        "campaign_id": equals(SocialPost.campaign_id, UUID),
        "group_id": equals(SocialPost.group_id, UUID),
    },
)
router = routes_of(POSTS)

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_SOCIAL))]

_post, _post_extra = body_of("PostBody", TypeAdapter(PostBody))
_several, _several_extra = body_of("SeveralBody", TypeAdapter(SeveralBody))
_change, _change_extra = body_of("PostChange", TypeAdapter(PostChange))
_decision, _decision_extra = body_of("Decision", TypeAdapter(Decision))

WRITTEN = WRITE | problems(404, 409)
ACT = READ_ONE | problems(409)
"""Of routes without a body."""


class WrittenPosts(View):
    """One post for several accounts."""

    group_id: UUID
    items: list[WrittenPost]


@router.post(
    "",
    status_code=201,
    responses=WRITTEN,
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
    responses=WRITTEN,
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


@router.patch(
    "/{item_id}",
    responses=WRITE | CHANGE,
    openapi_extra=_change_extra,
    summary="Change a post that is not on its way",
)
def change(
    request: Request,
    caller: Manager,
    item_id: UUID,
    body: Annotated[PostChange, _change],
    if_match: IfMatch = None,
) -> WrittenPost:
    return Desk(request, caller).change(item_id, body, if_match=if_match)


@router.post("/{item_id}/publish", status_code=202, responses=ACT, summary="Publish a post now")
def publish(request: Request, caller: Manager, item_id: UUID) -> WrittenPost:
    """Also a draft, a cancelled one, or one that failed and whose cause is mended."""
    return Desk(request, caller).publish(item_id)


@router.post("/{item_id}/cancel", responses=ACT, summary="Let a post not go out")
def cancel(request: Request, caller: Manager, item_id: UUID) -> WrittenPost:
    return Desk(request, caller).cancel(item_id)


@router.post(
    "/{item_id}/decision",
    responses=WRITTEN,
    openapi_extra=_decision_extra,
    summary="Say what became of a post whose fate nobody knew",
)
def decide(
    request: Request, caller: Manager, item_id: UUID, body: Annotated[Decision, _decision]
) -> WrittenPost:
    """Published at a url, or not; then it is posted again if you say so, else given up."""
    return Desk(request, caller).decide(item_id, body)


@router.delete(
    "/{item_id}", status_code=202, responses=READ_ONE | CHANGE, summary="Remove a post, from its platform too"
)
def delete(
    request: Request,
    caller: Manager,
    item_id: UUID,
    *,
    erase: Annotated[bool, Query(description="Also forget what it said.")] = False,
    if_match: IfMatch = None,
) -> WrittenPost:
    return Desk(request, caller).delete(item_id, erase=erase, if_match=if_match)
