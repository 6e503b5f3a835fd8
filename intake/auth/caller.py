"""The dependencies of routes: who calls, for which organization, and whether they may."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from intake.auth.access import Access
from intake.auth.token import REQUIRED_CLAIMS, Identity
from intake.problem import ForbiddenError, UnauthenticatedError
from intake.region import refuse_elsewhere
from models.acting import act_as
from models.api_key import PREFIX
from models.meter import API_CALLS
from models.organization import Tenant

_scheme = HTTPBearer(
    scheme_name="bearer",
    bearerFormat="JWT",
    description=f"A token with the claims {', '.join(REQUIRED_CLAIMS)} (optional: role, permissions, jti), "
    f"or an API key ({PREFIX}...).",
    auto_error=False,
)


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


class OrganizationInactiveError(ForbiddenError):
    """Nobody of an organization that is suspended, or about to be, comes in."""

    def __init__(self) -> None:
        super().__init__("organization-inactive", "Your organization is not active.")


async def identify(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_scheme)],
) -> Identity:
    """Refuse a request without a valid token or key."""
    if len(request.headers.getlist("Authorization")) > 1:
        # What stands before us may have looked at another one than we would.
        raise UnauthenticatedError("Send one Authorization header.", code="invalid_request")
    if credentials is None:
        raise UnauthenticatedError("Send your token as: Authorization: Bearer <token>.", code=None)
    access: Access = request.app.state.access
    if credentials.credentials.startswith(PREFIX):
        return await access.identify_key(credentials.credentials)
    return await access.identify_token(credentials.credentials)


async def authenticate(request: Request, identity: Annotated[Identity, Depends(identify)]) -> Caller:
    """Return the caller; refuse one who is out, and an organization that is unknown or not active."""
    request.state.organization_id = identity.organization_id
    act_as(actor=identity.user_id)
    access: Access = request.app.state.access
    tenant = await access.tenants.get(identity.organization_id)
    if tenant is None or tenant.status != "active" or identity.is_braked:
        raise OrganizationInactiveError
    refuse_elsewhere(tenant, request.app.state.settings)
    return Caller(tenant, identity.user_id, await _permissions_now(access, identity))


async def _permissions_now(access: Access, identity: Identity) -> frozenset[str]:
    """Return what the caller may: what the token says, and no more than the user's role permits now."""
    if identity.is_machine:
        return identity.permissions
    standing = await access.standing_of(identity)
    if standing.is_braked:
        raise OrganizationInactiveError
    if standing.has_revoked(identity.issued_at):
        raise UnauthenticatedError("The token was revoked.")
    if standing.is_out:
        raise ForbiddenError("user-inactive", "Your user is not active in this organization.")
    if standing.permissions is None:
        return identity.permissions
    return standing.permissions & identity.permissions if identity.limits else standing.permissions


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
