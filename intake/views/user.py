"""What a tenant sees of its people."""

from datetime import datetime
from uuid import UUID

from intake.views.base import View
from models.user import Role, UserStatus


class UserView(View):
    id: UUID
    email: str
    name: str | None
    role: Role
    status: UserStatus
    last_seen_at: datetime | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    """When they were removed; they can be restored."""


class RoleView(View):
    role: Role
    permissions: list[str]
