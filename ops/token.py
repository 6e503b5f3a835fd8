"""Mint the tokens that the intake verifies in development, for people who try the system and for tests."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
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
    claims: dict[str, Any] = {
        "jti": str(uuid7()),
        "user_id": str(user_id or uuid7()),
        "organization_id": str(tenant.organization_id),
        "organization_name": tenant.name,
        "subscription_plan": tenant.plan,
        "role": role.value,
        "permissions": sorted(ROLE_PERMISSIONS[role] if permissions is None else permissions),
        "iat": now,
        "exp": now + lifetime,
    }
    named = {"aud": settings.jwt_audience, "iss": settings.jwt_issuer}
    claims |= {claim: value for claim, value in named.items() if value is not None}
    return jwt.encode(claims, settings.jwt_secret.get_secret_value(), algorithm=ALGORITHM)
