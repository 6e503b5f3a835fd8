"""What each role of a user permits."""

from config.plans import PLANS
from models.organization import PlanName
from models.user import ROLE_PERMISSIONS, Permission, Role


def test_every_role_has_its_permissions() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)


def test_a_member_works_and_administers_nothing() -> None:
    work = {"manage_campaigns", "manage_social", "manage_leads", "manage_jobs"}
    work |= {"view_analytics", "view_jobs", "send_events"}

    assert ROLE_PERMISSIONS[Role.MEMBER] == work


def test_each_role_permits_more_than_the_next() -> None:
    owner, admin, member, viewer = (ROLE_PERMISSIONS[role] for role in Role)

    assert set(Permission) == owner > admin > member > viewer
    assert owner - admin == {Permission.MANAGE_OWNERS}


def test_a_viewer_only_views() -> None:
    assert all(permission.startswith("view_") for permission in ROLE_PERMISSIONS[Role.VIEWER])


def test_the_plans_of_the_database_are_those_of_the_catalogue() -> None:
    assert set(PlanName) == set(PLANS)
