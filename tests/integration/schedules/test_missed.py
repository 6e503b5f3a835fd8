"""What keeps a schedule from firing is a missed run with its reason."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from tests.integration.schedules.steps import MINUTE, NOON, Tick, make, runs, the_schedule
from tests.support.kinds import LEAVE_CAMPAIGN
from worker.fire import Round
from worker.job import KINDS


def test_a_quota_that_is_used_up_is_a_missed_run_and_stops_nobody_else(
    database: Database, organization: Callable[..., Tenant], tick: Tick
) -> None:
    poor, rich = organization(plan="starter"), organization(plan="enterprise")
    hourly = {"cron": "0 * * * *", "overlap": "allow_all"}
    for tenant in (poor, rich):
        make(database, tenant, **hourly)
    tick(NOON)
    with tenant_session(database, poor.organization_id) as session:
        session.execute(text("UPDATE quota_periods SET used = 22000 - 1, reserved = 1"))
    assert tick(NOON + timedelta(hours=1)) == Round(fired=1, missed=1)

    assert runs(database, poor) == [(0, "fired", None), (60, "missed", "quota")]
    assert [state for _, state, _ in runs(database, rich)] == ["fired", "fired"]
    assert the_schedule(database, poor).next_nominal == NOON + timedelta(hours=2)


@pytest.mark.parametrize("status", ["inactive", "suspended"])
def test_an_inactive_organization_misses_its_runs(
    database: Database, tenant: Tenant, tick: Tick, status: str
) -> None:
    make(database, tenant)
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).status = status
    assert tick(NOON) == Round(missed=1)
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).status = "active"
    assert tick(NOON + MINUTE) == Round(fired=1)
    assert runs(database, tenant) == [(0, "missed", "organization"), (1, "fired", None)]


def test_a_deleted_organization_misses_its_runs(database: Database, tenant: Tenant, tick: Tick) -> None:
    make(database, tenant)
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).deleted_at = NOON
    assert tick(NOON) == Round(missed=1)
    assert runs(database, tenant) == [(0, "missed", "organization")]


def test_a_plan_that_allows_it_no_more_misses_runs(
    database: Database, organization: Callable[..., Tenant], tick: Tick
) -> None:
    tenant = organization(plan="starter")
    make(database, tenant)
    assert tick(NOON) == Round(missed=1)
    assert runs(database, tenant) == [(0, "missed", "interval")]


def test_a_payload_that_the_kind_refuses_is_a_missed_run(
    database: Database, tenant: Tenant, tick: Tick
) -> None:
    make(database, tenant, payload={"nonsense": 1})
    make(database, tenant)
    assert tick(NOON) == Round(fired=1, missed=1)


def test_a_time_zone_that_is_known_no_more_is_a_missed_run_and_the_last(
    database: Database, tenant: Tenant, tick: Tick
) -> None:
    make(database, tenant, time_zone="Mars/Olympus")
    assert tick(NOON) == Round(missed=1)
    assert runs(database, tenant) == [(0, "missed", "timing")]
    assert the_schedule(database, tenant).next_nominal is None
    assert tick(NOON + MINUTE) == Round()


def test_a_kind_that_this_beat_does_not_know_is_left_to_the_others_for_an_hour(
    database: Database, tenant: Tenant, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(database, tenant, cron="0 12 * * *", catch_up_seconds=7200)
    with monkeypatch.context() as patch:
        patch.delitem(KINDS, LEAVE_CAMPAIGN.name)
        assert tick(NOON + 59 * MINUTE) == Round()
        assert tick(NOON + 61 * MINUTE) == Round(missed=1)
    assert runs(database, tenant) == [(0, "missed", "kind")]
