"""Parts of the intake that need no server: remembered tenants, error paths, cursors, the catalogue."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from config.plans import PLANS
from intake.auth.remember import MOST_REMEMBERED, Remembered
from intake.paging import Cursor
from intake.problem import InvalidRequestError
from intake.submission import BATCH, JOB
from intake.validation import MOST_ERRORS, refuse
from models.organization import Tenant
from tasks.catalog import CATALOG, TENANT_CATALOG
from tasks.payloads import AccountQuota, PublishPost, ScoreLeads

TENANT = Tenant(
    organization_id=uuid4(),
    name="Acme",
    status="active",
    plan="starter",
    plan_overrides={},
    time_zone="UTC",
    billing_anchor=date(2026, 1, 31),
)


class Directory:
    """Stands in for the database: counts what is asked of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[UUID] = []
        self.plan = "starter"

    def load(self, organization_id: UUID) -> Tenant | None:
        self.asked.append(organization_id)
        if self.plan == "gone":
            return None
        return replace(TENANT, organization_id=organization_id, plan=self.plan)


def remembering(directory: Directory) -> Remembered[UUID, Tenant]:
    return Remembered(directory.load, organization_of=lambda key: key, clock=lambda: directory.now)


def test_a_tenant_is_remembered_for_two_seconds_and_no_longer() -> None:
    directory, organization_id = Directory(), uuid4()
    tenants = remembering(directory)

    def plan() -> str | None:
        tenant = asyncio.run(tenants.get(organization_id))
        return tenant and tenant.plan

    assert plan() == "starter"
    directory.plan = "enterprise"
    directory.now = 1.99
    assert plan() == "starter"
    directory.now = 2.0
    assert plan() == "enterprise"
    directory.plan = "gone"
    directory.now = 4.0
    assert plan() is None
    directory.plan = "starter"
    assert plan() == "starter", "an organization that was unknown is asked for again at once"


def test_what_is_forgotten_is_asked_for_again_even_if_its_answer_was_on_its_way() -> None:
    directory, organization_id, other = Directory(), uuid4(), uuid4()
    tenants = remembering(directory)

    def change_meanwhile(key: UUID) -> Tenant | None:
        found = Directory.load(directory, key)
        tenants.forget(organization_id)
        return found

    directory.load = change_meanwhile  # type: ignore[method-assign] # as if it changed while the answer travels
    tenants = remembering(directory)

    async def ask() -> None:
        for key in (organization_id, other, organization_id, other):
            await tenants.get(key)

    asyncio.run(ask())
    assert directory.asked == [organization_id, other, organization_id]


def test_remembered_tenants_are_bounded() -> None:
    directory = Directory()
    tenants = remembering(directory)

    async def fill() -> None:
        for n in range(MOST_REMEMBERED + 1):
            await tenants.get(UUID(int=n))
        await tenants.get(UUID(int=1))
        await tenants.get(UUID(int=0))

    asyncio.run(fill())
    assert len(directory.asked) == MOST_REMEMBERED + 2


Place = tuple[float, datetime, UUID]


@given(
    st.tuples(
        st.floats(allow_nan=False, allow_infinity=False),
        st.datetimes(timezones=st.just(UTC)),
        st.uuids(),
    )
)
def test_a_cursor_comes_back_as_it_went(place: Place) -> None:
    cursor = Cursor(TypeAdapter(Place))
    assert cursor.read(cursor.write(place)) == place


@given(st.text(max_size=80))
def test_what_is_no_cursor_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        Cursor(TypeAdapter(Place)).read(text)


@given(st.binary(max_size=300))
def test_no_body_does_anything_but_be_refused(raw: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        JOB.validate_json(raw, strict=True)
    refuse(caught.value)


def test_a_batch_that_is_wrong_throughout_names_the_first_hundred() -> None:
    raw = b'{"jobs": [' + b",".join([b'{"kind": "nothing"}'] * 1_000) + b"]}"
    with pytest.raises(ValidationError) as caught:
        BATCH.validate_json(raw, strict=True)
    refusal = refuse(caught.value, items="jobs")
    assert [error.index for error in refusal.errors] == list(range(MOST_ERRORS))
    assert "999 more" in refusal.detail


def test_an_error_names_the_way_to_its_field() -> None:
    error: dict[str, Any] = {
        "type": "missing",
        "loc": ("jobs", 3, "social.publish_post", "payload", "media", 0, "url"),
        "msg": "",
    }
    [found] = refuse([error], items="jobs").errors
    assert (found.index, found.field) == (3, "payload.media[0].url")


def test_no_tenant_may_submit_a_kind_of_the_system() -> None:
    assert {name for name in CATALOG if name.startswith("system.")} == set(CATALOG) - set(TENANT_CATALOG)


def test_every_kind_fits_the_plans() -> None:
    features = {feature for plan in PLANS.values() for feature in plan.features}
    meters = {meter for plan in PLANS.values() for meter in plan.limits}
    for kind in CATALOG.values():
        assert kind.feature is None or kind.feature in features
        assert kind.meter is None or kind.meter in meters


def test_the_meters_of_a_period_are_those_of_the_plans() -> None:
    meters = {meter for plan in PLANS.values() for meter in plan.limits if meter.endswith("_month")}
    schema = AccountQuota.model_json_schema()["properties"]["meter"]["anyOf"][0]["enum"]
    assert set(schema) == meters


def test_a_job_reserves_the_leads_it_can_score_at_most() -> None:
    lead = uuid4()
    assert ScoreLeads(lead_ids=(lead, lead, uuid4())).most == 2
    assert ScoreLeads(all=True).most == 5_000
    assert ScoreLeads(all=True, limit=7).most == 7


@pytest.mark.parametrize("payload", [PublishPost(post_id=UUID(int=1)), ScoreLeads(all=True), AccountQuota()])
def test_a_recorded_payload_reads_back_as_it_was(payload: Any) -> None:
    assert type(payload).model_validate(payload.model_dump(mode="json")) == payload
