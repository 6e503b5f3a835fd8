"""API keys: how machines of the organization call."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, StrictInt, TypeAdapter
from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from intake.auth import Caller, allowed
from intake.auth.access import tell_changed
from intake.body import body_of
from intake.ingest.fields import Body, Day, Short
from intake.lock import one_at_a_time
from intake.openapi import READ_ONE, WRITE, problems
from intake.problem import ConflictError, FieldError, ForbiddenError, InvalidRequestError, NotFoundError
from intake.resource.declaration import Resource
from intake.resource.router import routes_of
from intake.views.access import ApiKeyView, NewApiKeyView
from models.api_key import ApiKey, KeyName, PresentedKey
from models.session import tenant_session
from models.user import Permission

MOST_KEYS = 100
LONGEST_OVERLAP = timedelta(days=7)
NOT_FOR_MACHINES = frozenset({Permission.MANAGE_API_KEYS, Permission.MANAGE_OWNERS})
"""A key that is stolen must not be able to make itself another one."""


class ApiKeyBody(Body):
    """What a new key may, and until when."""

    name: Short
    scopes: Annotated[tuple[Permission, ...], Field(min_length=1, max_length=len(Permission))]
    expires_at: Day | None = None


class ApiKeyChange(Body):
    """What to change; what a key may is fixed when it is made."""

    name: Short = ""


class RotationBody(Body):
    """How long the secret before stays good."""

    overlap_seconds: Annotated[
        StrictInt, Field(ge=0, le=int(LONGEST_OVERLAP.total_seconds()), description="0 ends it at once.")
    ] = 86_400


API_KEYS = Resource(
    name="API key",
    path="/api-keys",
    table=ApiKey,
    view=ApiKeyView,
    change=ApiKeyChange,
    manage=Permission.MANAGE_API_KEYS,
    read=Permission.MANAGE_API_KEYS,
    removable=False,
)
COLUMNS = [getattr(ApiKey, name) for name in ApiKeyView.model_fields]

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_API_KEYS))]
_new, _new_extra = body_of("ApiKeyBody", TypeAdapter(ApiKeyBody))
_rotation, _rotation_extra = body_of("RotationBody", TypeAdapter(RotationBody))

router = APIRouter(tags=["api-keys"])
PATH = "/api/v1/api-keys"


@router.post(
    PATH,
    status_code=201,
    responses=WRITE | problems(409),
    openapi_extra=_new_extra,
    summary="Make a key; answers it, this once",
)
def create(
    request: Request, response: Response, caller: Manager, body: Annotated[ApiKeyBody, _new]
) -> NewApiKeyView:
    _refuse_excess(caller, body)
    organization_id = caller.tenant.organization_id
    key = _fresh(request, KeyName(organization_id, uuid7()))
    values = {
        "organization_id": organization_id,
        "id": key.name.key_id,
        "name": body.name,
        "scopes": sorted(set(body.scopes)),
        "hint": key.hint,
        "secret_hash": key.hash,
        "expires_at": body.expires_at,
        "created_by": caller.user_id,
    }
    with tenant_session(request.app.state.database, organization_id, actor=caller.user_id) as session:
        _make_room(session, organization_id)
        row = session.execute(insert(ApiKey).values(**values).returning(*COLUMNS)).one()
    response.headers["Location"] = f"{PATH}/{row.id}"
    return NewApiKeyView.from_row(row, key=str(key))


@router.post(
    f"{PATH}/{{item_id}}/rotate",
    responses=WRITE | problems(404),
    openapi_extra=_rotation_extra,
    summary="Change its secret; answers the key, this once",
)
def rotate(
    request: Request, caller: Manager, item_id: UUID, body: Annotated[RotationBody, _rotation]
) -> NewApiKeyView:
    key = _fresh(request, KeyName(caller.tenant.organization_id, item_id))
    now = func.clock_timestamp()
    values = {
        "previous_hash": ApiKey.secret_hash,
        "previous_until": now + timedelta(seconds=body.overlap_seconds),
        "secret_hash": key.hash,
        "hint": key.hint,
        "rotated_at": now,
    }
    return NewApiKeyView.from_row(_change(request, caller, item_id, values), key=str(key))


@router.delete(f"{PATH}/{{item_id}}", status_code=204, responses=READ_ONE, summary="Revoke a key, for good")
def revoke_key(request: Request, caller: Manager, item_id: UUID) -> None:
    _change(request, caller, item_id, {"revoked_at": func.clock_timestamp()})


router.include_router(routes_of(API_KEYS))


def _fresh(request: Request, name: KeyName) -> PresentedKey:
    return PresentedKey.make(request.app.state.settings.environment, name)


def _refuse_excess(caller: Caller, body: ApiKeyBody) -> None:
    """Refuse scopes that the caller does not have or no machine may have, and an end in the past."""
    for scope in sorted(set(body.scopes)):
        if scope in NOT_FOR_MACHINES:
            raise InvalidRequestError([FieldError(field="scopes", message=f"must not hold {scope}")])
        if scope not in caller.permissions:
            raise ForbiddenError(
                "permission-missing",
                f"A key may do no more than you: your token does not grant {scope}.",
                permission=scope,
            )
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise InvalidRequestError([FieldError(field="expires_at", message="must be in the future")])


def _make_room(session: Session, organization_id: UUID) -> None:
    one_at_a_time(session, organization_id, ApiKey.__tablename__)
    is_live = ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())
    if session.scalars(select(func.count()).select_from(ApiKey).where(*is_live)).one() >= MOST_KEYS:
        raise ConflictError("too-many", f"There are {MOST_KEYS} keys, and no more may be; revoke one first.")


def _change(request: Request, caller: Caller, key_id: UUID, values: dict[str, Any]) -> Any:
    """Change a key that is not revoked, and let every intake know."""
    organization_id = caller.tenant.organization_id
    statement = (
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
        .values(**values, updated_at=func.clock_timestamp())
        .returning(*COLUMNS)
        .execution_options(synchronize_session=False)
    )
    with tenant_session(request.app.state.database, organization_id, actor=caller.user_id) as session:
        row = session.execute(statement).one_or_none()
    if row is None:
        raise NotFoundError(API_KEYS.name)
    tell_changed(request, organization_id)
    return row
