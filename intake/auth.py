"""Who calls: verifies the bearer token and looks up how the caller's organization stands right now."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import jwt
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from config.settings import Settings
from intake.problem import ForbiddenError, UnauthenticatedError
from models.meter import API_CALLS
from models.organization import Tenant
from models.user import ROLE_PERMISSIONS, Role

ALGORITHM = "HS256"
LEEWAY = timedelta(seconds=5)
"""How far the clocks of issuer and intake may differ."""
LONGEST_TOKEN = 8_192
REQUIRED_CLAIMS = ("exp", "iat", "organization_id", "user_id")
LONGEST_USER_ID = 200
MOST_PERMISSIONS = 200

_scheme = HTTPBearer(
    scheme_name="bearer",
    bearerFormat="JWT",
    description=f"{ALGORITHM}; claims: {', '.join(REQUIRED_CLAIMS)}; optional: role, permissions.",
    auto_error=False,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a token says, once its signature and times have held."""

    organization_id: UUID
    user_id: str
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and for which organization as it stands now."""

    tenant: Tenant
    user_id: str
    permissions: frozenset[str]

    @property
    def user_uuid(self) -> UUID | None:
        """The user's id where it is one of ours; other issuers may name users as they like."""
        try:
            return UUID(self.user_id)
        except ValueError:
            return None

    def require(self, permission: str) -> None:
        """Refuse a caller whose token does not grant *permission*."""
        if permission not in self.permissions:
            raise ForbiddenError(
                "permission-missing",
                f"This needs the permission {permission}, which your token does not grant.",
                permission=permission,
            )


def verify(token: str, settings: Settings) -> Identity:
    """Return what *token* says.

    Raises:
        UnauthenticatedError: It is not ours, not in time, or says too little.
    """
    if len(token) > LONGEST_TOKEN:
        raise UnauthenticatedError("The token is too long.")
    try:
        claims = jwt.decode(
            token,
            settings.jwt_secret.get_secret_value(),
            algorithms=[ALGORITHM],
            leeway=LEEWAY,
            options={"require": list(REQUIRED_CLAIMS), "verify_aud": False},
        )
    except jwt.ExpiredSignatureError:
        raise UnauthenticatedError("The token has expired.") from None
    except jwt.MissingRequiredClaimError as error:
        raise UnauthenticatedError(f"The token lacks the claim {error.claim}.") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        # Beside its own errors PyJWT lets a few through for headers of odd types.
        raise UnauthenticatedError("The token is not valid.") from None
    return _identity(claims)


def _identity(claims: Mapping[str, Any]) -> Identity:
    organization, user = claims["organization_id"], claims["user_id"]
    if not isinstance(organization, str) or not isinstance(user, str) or not 0 < len(user) <= LONGEST_USER_ID:
        raise UnauthenticatedError("The token's organization_id and user_id must be strings.")
    try:
        organization_id = UUID(organization)
    except ValueError:
        raise UnauthenticatedError("The token's organization_id is not a UUID.") from None
    return Identity(organization_id, user, _permissions(claims))


def _permissions(claims: Mapping[str, Any]) -> frozenset[str]:
    role, listed = claims.get("role"), claims.get("permissions", [])
    if role is not None and not isinstance(role, str):
        raise UnauthenticatedError("The token's role must be a string.")
    if (
        not isinstance(listed, list)
        or len(listed) > MOST_PERMISSIONS
        or not all(isinstance(p, str) for p in listed)
    ):
        raise UnauthenticatedError("The token's permissions must be a list of strings.")
    return frozenset(listed) | frozenset(_of_role(role))


def _of_role(role: str | None) -> frozenset[str]:
    """Return what a role permits; a role we do not know permits nothing."""
    return frozenset(ROLE_PERMISSIONS[Role(role)]) if role in set(Role) else frozenset()


async def identify(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_scheme)],
) -> Identity:
    """Refuse a request without a valid token."""
    if credentials is None:
        raise UnauthenticatedError("Send your token as: Authorization: Bearer <token>.", code=None)
    return verify(credentials.credentials, request.app.state.settings)


async def authenticate(request: Request, identity: Annotated[Identity, Depends(identify)]) -> Caller:
    """Return the caller; refuse an organization that is unknown or not active."""
    request.state.organization_id = identity.organization_id
    tenant: Tenant | None = await request.app.state.tenants.get(identity.organization_id)
    if tenant is None or tenant.status != "active":
        raise ForbiddenError("organization-inactive", "Your organization is not active.")
    return Caller(tenant=tenant, user_id=identity.user_id, permissions=identity.permissions)


async def admit(request: Request, caller: Annotated[Caller, Depends(authenticate)]) -> Caller:
    """Return the caller; refuse one that calls more often than its plan allows."""
    limit = caller.tenant.terms.limits.get(API_CALLS)
    request.state.paces = await request.app.state.rate_limit.admit(
        caller.tenant.organization_id, caller.user_id, limit
    )
    return caller


def allowed(permission: str) -> Callable[..., Awaitable[Caller]]:
    """Return the dependency of a route that needs *permission*."""

    async def checked(caller: Annotated[Caller, Depends(admit)]) -> Caller:
        caller.require(permission)
        return caller

    return checked


AnyCaller = Annotated[Caller, Depends(admit)]
