"""Entity tags and the conditions that name them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intake.problem import InvalidRequestError
from intake.resource.etag import ChangedMeanwhileError, answer, require_match, tag_of
from intake.views.base import View


class Thing(View):
    name: str


NOW, THEN = Thing(name="now"), Thing(name="then")
TAG = tag_of(NOW)


def test_a_tag_is_of_what_is_shown() -> None:
    assert TAG == tag_of(Thing(name="now")) != tag_of(THEN)
    assert answer(NOW).headers["etag"] == TAG


@pytest.mark.parametrize("condition", [None, "*", TAG, f'"x", {TAG}', f'{TAG},"x"', f' W/"x" , {TAG} '])
def test_a_condition_that_names_the_tag_holds(condition: str | None) -> None:
    require_match(condition, NOW)


@pytest.mark.parametrize("condition", [tag_of(THEN), f"W/{TAG}", '""', '"*"', TAG.upper()])
def test_one_that_names_others_does_not_and_tells_the_tag_of_now(condition: str) -> None:
    with pytest.raises(ChangedMeanwhileError) as caught:
        require_match(condition, NOW)
    assert caught.value.headers["ETag"] == TAG


@pytest.mark.parametrize("condition", ["", "abc", TAG[:-1], f"{TAG} {TAG}", f"{TAG},", "W/", "**", '"a"b"'])
def test_what_is_no_condition_is_refused(condition: str) -> None:
    with pytest.raises(InvalidRequestError):
        require_match(condition, NOW)


@pytest.mark.parametrize(
    ("known", "status"), [(TAG, 304), (f"W/{TAG}", 304), ("*", 304), ('"x"', 200), (None, 200)]
)
def test_who_has_it_already_is_not_sent_it_again(known: str | None, status: int) -> None:
    answered = answer(NOW, if_none_match=known)
    assert (answered.status_code, bool(answered.body)) == (status, status == 200)
    assert answered.headers["etag"] == TAG


@given(st.text(max_size=300))
def test_no_condition_does_anything_but_hold_fail_or_be_refused(condition: str) -> None:
    try:
        require_match(condition, NOW)
    except (ChangedMeanwhileError, InvalidRequestError):
        return
    assert condition.strip() == "*" or TAG in condition
