"""Users: invite, change role, disable, remove, restore; and oneself."""

from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy import func

from intake.auth import AnyCaller, Caller
from intake.ingest.fields import Body, Email, Short
from intake.openapi import READ, READ_ONE, problems
from intake.problem import NotFoundError
from intake.resource.declaration import Resource, equals
from intake.resource.etag import IfNoneMatch, answer
from intake.resource.repository import Repository, open_repository
from intake.resource.router import TAGGED, UNCHANGED, routes_of
from intake.staff import StaffRules, require_invited
from intake.views.base import View
from intake.views.user import RoleView, UserView
from models.user import ROLE_PERMISSIONS, Permission, Role, User, UserStatus


class UserBody(Body):
    """Who is invited."""

    email: Email
    name: Short | None = None
    role: Role = Role.MEMBER


class UserChange(Body):
    """What to change; the address stays, since it says who it is."""

    name: Short | None = None
    role: Role = Role.MEMBER
    status: Literal[UserStatus.ACTIVE, UserStatus.DISABLED] = UserStatus.ACTIVE


USERS = Resource(
    name="user",
    path="/users",
    table=User,
    view=UserView,
    create=UserBody,
    change=UserChange,
    manage=Permission.MANAGE_USERS,
    read=Permission.MANAGE_USERS,
    bulk=True,
    filters={
        "role": equals(User.role, Role),
        "status": equals(User.status, UserStatus),
        "email": equals(User.email_norm),
    },
    meter="users",
    in_turn=True,
    remembered=True,
    rules=StaffRules(),
)

router = APIRouter(tags=["users"])


@router.get("/api/v1/users/me", response_model=UserView, responses=READ_ONE | TAGGED | UNCHANGED)
def me(request: Request, caller: AnyCaller, if_none_match: IfNoneMatch = None) -> Response:
    """Yourself, where your token names a user of ours."""
    with open_repository(request, caller, USERS) as repository:
        return answer(repository.find(_own_id(caller)), if_none_match=if_none_match)


@router.post(
    "/api/v1/users/me/accept",
    response_model=UserView,
    responses=READ_ONE | problems(409) | TAGGED,
    summary="Accept your invitation",
)
def accept(request: Request, caller: AnyCaller) -> Response:
    with open_repository(request, caller, USERS) as repository:
        return answer(_accept(repository, _own_id(caller)))


def _own_id(caller: Caller) -> UUID:
    if caller.user_uuid is None:
        raise NotFoundError(USERS.name)
    return caller.user_uuid


def _accept(repository: Repository, user_id: UUID) -> View:
    repository.take_turn()
    row: Any = repository.hold(user_id)
    require_invited(row)
    return repository.write(user_id, {"status": UserStatus.ACTIVE, "last_seen_at": func.now()})


@router.get("/api/v1/roles", responses=READ, summary="What each role permits")
def roles(caller: AnyCaller) -> list[RoleView]:  # noqa: ARG001 - declares who may
    return [
        RoleView(role=role, permissions=sorted(permissions)) for role, permissions in ROLE_PERMISSIONS.items()
    ]


router.include_router(routes_of(USERS))
