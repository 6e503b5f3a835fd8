"""Mint the tokens that the intake verifies, for people who try the system and for tests."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
from uuid_utils.compat import uuid7

from config.settings import Settings
from intake.auth import ALGORITHM
from models.organization import Tenant
from models.user import ROLE_PERMISSIONS, Role


def mint_token(  # noqa: PLR0913 - the claims of a token
    settings: Settings,
    tenant: Tenant,
    *,
    role: Role = Role.ADMIN,
    permissions: Sequence[str] | None = None,
    lifetime: timedelta = timedelta(hours=1),
    user_id: UUID | None = None,
) -> str:
    """Sign a token for somebody of *tenant*: made up, unless *user_id* says who.

    It lists *permissions* beside the role; None lists what the role grants.
    """
    now = datetime.now(UTC)
    claims = {
        "user_id": str(user_id or uuid7()),
        "organization_id": str(tenant.organization_id),
        "organization_name": tenant.name,
        "subscription_plan": tenant.plan,
        "role": role.value,
        "permissions": sorted(ROLE_PERMISSIONS[role] if permissions is None else permissions),
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(claims, settings.jwt_secret.get_secret_value(), algorithm=ALGORITHM)
