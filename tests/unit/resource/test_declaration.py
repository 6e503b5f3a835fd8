"""What a resource may declare, and what its cursors are bound to."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from intake.problem import InvalidRequestError
from intake.resource.bulk import bulk_body_of
from intake.resource.cursor import Place, read_cursor, write_cursor
from intake.resource.declaration import UnindexedSortError
from intake.resource.query import query_of
from intake.routes.alerts import ALERTS, DELIVERIES
from intake.routes.branding import DOMAINS
from intake.routes.campaigns import CAMPAIGNS
from intake.routes.content import MEDIUM, TEXT
from intake.routes.social import POSTS
from intake.routes.users import USERS
from intake.routes.webhooks import ENDPOINTS, RECIPIENTS
from intake.social_account import ACCOUNTS

ALL = (ACCOUNTS, POSTS, CAMPAIGNS, TEXT, MEDIUM, USERS, DOMAINS, ALERTS, DELIVERIES, ENDPOINTS, RECIPIENTS)
PLACE: TypeAdapter[Place] = TypeAdapter(tuple[datetime, UUID])


@pytest.mark.parametrize("column", ["budget_cents", "status", "deleted_at", "id"])
def test_a_list_is_not_sorted_by_what_has_no_index(column: str) -> None:
    with pytest.raises(UnindexedSortError, match=column):
        replace(CAMPAIGNS, sorts=(column,))


def test_what_is_sorted_by_is_never_null() -> None:
    for resource in ALL:
        columns = resource.table.__table__.columns  # type: ignore[attr-defined]
        assert not any(columns[name].nullable for name in resource.sorts)


def test_a_list_knows_its_filters_and_orders_and_nothing_else() -> None:
    model = query_of(CAMPAIGNS)
    assert model.model_validate({}).model_dump()["sort"] == "-created_at"
    for wrong in ({"budget_cents": 1}, {"sort": "budget_cents"}, {"table": "users"}):
        with pytest.raises(ValidationError):
            model.model_validate(wrong)
    with pytest.raises(ValidationError):
        query_of(DOMAINS).model_validate({"deleted": True})


def test_what_does_not_show_when_it_was_removed_is_not_restored() -> None:
    assert CAMPAIGNS.recovers
    final = replace(CAMPAIGNS, view=DOMAINS.view)
    assert (final.hides, final.recovers) == (True, False)
    with pytest.raises(ValidationError):
        query_of(final).model_validate({"deleted": True})


def test_a_bulk_request_does_what_the_resource_does_and_nothing_else() -> None:
    some_id = str(uuid4())
    body = bulk_body_of(replace(DOMAINS, create=None))
    for wrong in ({"create": [{}]}, {"change": [{"id": some_id, "set": {}}]}, {"restore": [some_id]}):
        with pytest.raises(ValidationError):
            body.model_validate_json(TypeAdapter(dict).dump_json(wrong), strict=True)
    body.model_validate({"delete": [{"id": some_id}]})


@given(st.datetimes(timezones=st.just(UTC)), st.uuids(), st.text(max_size=50))
def test_a_cursor_comes_back_as_it_went_for_its_own_list(moment: datetime, item: UUID, listing: str) -> None:
    cursor = write_cursor((moment, item), listing)
    assert read_cursor(cursor, listing, PLACE) == (moment, item)
    with pytest.raises(InvalidRequestError):
        read_cursor(cursor, listing + "x", PLACE)


@given(st.text(max_size=80))
def test_what_we_did_not_write_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        read_cursor(text, "", PLACE)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=63))
def test_no_character_of_a_cursor_can_be_changed(place: int, step: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    cursor = write_cursor((datetime(2026, 1, 31, tzinfo=UTC), UUID(int=7)), "list")
    at = place % (len(cursor) - 1)  # the last one may hold bits that say nothing
    other = alphabet[(alphabet.index(cursor[at]) + step) % 64]
    with pytest.raises(InvalidRequestError):
        read_cursor(cursor[:at] + other + cursor[at + 1 :], "list", PLACE)
