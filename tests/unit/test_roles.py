"""What each role of a user permits."""

from config.plans import PLANS
from models.organization import PlanName
from models.user import ROLE_PERMISSIONS, Permission, Role


def test_every_role_has_its_permissions() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)


def test_a_member_manages_neither_users_nor_billing() -> None:
    missing = set(Permission) - ROLE_PERMISSIONS[Role.MEMBER]

    assert missing == {Permission.MANAGE_USERS, Permission.MANAGE_BILLING}


def test_a_viewer_only_views() -> None:
    assert all(permission.startswith("view_") for permission in ROLE_PERMISSIONS[Role.VIEWER])


def test_the_plans_of_the_database_are_those_of_the_catalogue() -> None:
    assert set(PlanName) == set(PLANS)
