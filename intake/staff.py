"""Who may change whom: nobody gives or takes a role that permits more than their own, and an owner stays."""

from typing import Any

from sqlalchemy import func, select

from intake.auth import Caller
from intake.problem import ConflictError, FieldError, ForbiddenError, ProblemError
from intake.resource.declaration import Rules, Values
from intake.resource.repository import Repository
from intake.views.user import UserView
from models.user import ROLE_PERMISSIONS, Role, User, UserStatus

ACTIVE_OWNER = (Role.OWNER, UserStatus.ACTIVE)


class StaffRules(Rules):
    """The rules of users; their writes come in turn, so what one looks at no other changes meanwhile."""

    def made(self, repository: Repository, values: Values) -> Values:
        """Invite."""
        require_reach(repository.caller, values["role"])
        return values | {"email_norm": values["email"].lower(), "status": UserStatus.INVITED}

    def changed(self, repository: Repository, row: UserView, values: Values) -> Values:
        """Change name, role or status."""
        require_reach(repository.caller, row.role)
        require_reach(repository.caller, values.get("role", row.role))
        if (values.get("role", row.role), values.get("status", row.status)) != ACTIVE_OWNER:
            require_another_owner(repository, row)
        return values

    def removed(self, repository: Repository, row: UserView) -> Values:
        """Remove."""
        require_reach(repository.caller, row.role)
        require_another_owner(repository, row)
        return {}

    def restored(self, repository: Repository, row: UserView) -> Values:
        """Bring back as they were."""
        require_reach(repository.caller, row.role)
        return {}


def require_reach(caller: Caller, role: Role) -> None:
    """Refuse a caller who lacks a permission of *role*.

    Raises:
        ForbiddenError: They do: to give the role, or to take it, would reach above themselves.
    """
    lacking = sorted(ROLE_PERMISSIONS[role] - caller.permissions)
    if lacking:
        raise ForbiddenError(
            "role-too-high",
            f"role: {role} permits {', '.join(lacking)}, which you may not; ask somebody who may.",
            role=role.value,
            permissions=lacking,
        )


def require_another_owner(repository: Repository, row: UserView) -> None:
    """Refuse to do away with the last active owner."""
    if (row.role, row.status) != ACTIVE_OWNER:
        return
    others: Any = select(func.count()).where(
        User.role == Role.OWNER, User.status == UserStatus.ACTIVE, User.id != row.id
    )
    if repository.session.scalars(others.select_from(User)).one() == 0:
        message = "is the last active owner's; make somebody else an owner first"
        error = ConflictError("last-owner", f"role: {message}.")
        error.errors.append(FieldError(field="role", message=message))
        raise error


def require_invited(row: UserView) -> None:
    """Refuse who has accepted before, or was disabled."""
    if row.status != UserStatus.INVITED:
        raise ProblemError(409, "not-invited", f"status: you are {row.status}, and no invitation is open.")
