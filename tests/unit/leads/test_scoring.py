"""Scores, reasons and the folding of events, without any database."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.lead_scoring.engagement import EventTable, Folded, LateEventError, engagement_points
from tasks.lead_scoring.fit import fit_points
from tasks.lead_scoring.score import LeadTable, Scores, score_leads, whole_points
from tasks.scoring_defaults import DEFAULT_RULES
from tasks.scoring_rules import EventRule, FieldRule, Operator, RuleSet

NOW = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)
DAYS = st.floats(min_value=0, max_value=400, allow_nan=False)
PLACES = st.integers(min_value=0, max_value=len(DEFAULT_RULES.engagement) - 1)


def table(rows: list[tuple[int, int, datetime]], own: list[float] | None = None) -> EventTable:
    seconds = np.array([at.timestamp() for _, _, at in rows], dtype=np.float64)
    return EventTable(
        lead=np.array([lead for lead, _, _ in rows], dtype=np.int64),
        rule=np.array([rule for _, rule, _ in rows], dtype=np.int64),
        at=seconds,
        day=np.array([at.date().toordinal() for _, _, at in rows], dtype=np.int64),
        points=np.full(len(rows), np.nan) if own is None else np.array(own, dtype=np.float64),
    )


def scored(rules: RuleSet, leads: list[dict[str, object]], rows: list[tuple[int, int, datetime]]) -> Scores:
    columns = {name: [lead.get(name) for lead in leads] for name in rules.fields}
    return score_leads(rules, LeadTable(columns, table(rows), len(leads)), now=NOW.timestamp())


LEAD = st.fixed_dictionaries(
    {},
    optional={
        "phone": st.sampled_from(["", "+49 30 1234"]),
        "company": st.sampled_from([None, "  ", "Acme"]),
        "job_title": st.sampled_from(["Head of Marketing", "Intern", None]),
        "source": st.sampled_from(["Referral", "google"]),
        "occupation": st.sampled_from(["Working Professional", "Student"]),
        "seconds_on_site": st.one_of(st.none(), st.integers(0, 3_000), st.just("700")),
        "visits": st.integers(0, 9),
        "email": st.sampled_from(["a@gmail.com", "a@acme.example"]),
        "do_not_email": st.sampled_from([True, False, "Yes", None]),
    },
)


@given(
    leads=st.lists(LEAD, min_size=1, max_size=6),
    events=st.lists(st.tuples(st.integers(0, 5), PLACES, DAYS), max_size=60),
)
def test_the_reasons_sum_to_the_score_of_every_lead(
    leads: list[dict[str, object]], events: list[tuple[int, int, float]]
) -> None:
    rows = [(lead % len(leads), rule, NOW - timedelta(days=age)) for lead, rule, age in events]
    result = scored(DEFAULT_RULES, leads, rows)
    for score, reasons in zip(result.score.tolist(), result.reasons, strict=True):
        assert sum(reason["points"] for reason in reasons) == score
        assert 0 <= score <= 100


@given(
    points=st.integers(-100, 100),
    half_life=st.floats(0.5, 400),
    cap=st.one_of(st.none(), st.integers(1, 300)),
    events=st.lists(st.tuples(DAYS, st.one_of(st.none(), st.integers(-50, 50))), max_size=50),
)
def test_folding_events_one_by_one_equals_recomputation(
    points: int, half_life: float, cap: int | None, events: list[tuple[float, int | None]]
) -> None:
    rule = EventRule(key="r", label="r", event="e", points=points, half_life_days=half_life, daily_cap=cap)
    timeline = sorted(
        ((NOW - timedelta(days=age), own) for age, own in events),
        key=lambda event: (event[0].timestamp(), points if event[1] is None else event[1]),
    )
    state = Folded()
    for moment, own in timeline:
        state = state.fold(rule, moment, moment.date(), points=own)
    rows = table([(0, 0, at) for at, _ in timeline], [np.nan if own is None else own for _, own in timeline])
    whole = engagement_points([rule], rows, leads=1, now=NOW.timestamp())
    assert state.worth(rule, NOW) == pytest.approx(float(whole[0, 0]), rel=1e-9, abs=1e-9)


def test_a_late_event_is_refused_by_folding() -> None:
    rule = EventRule(key="r", label="r", event="e", points=5)
    state = Folded().fold(rule, NOW, NOW.date())
    with pytest.raises(LateEventError):
        state.fold(rule, NOW - timedelta(seconds=1), NOW.date())


@given(order=st.permutations(list(range(8))))
def test_the_order_of_events_does_not_matter(order: list[int]) -> None:
    rows = [(i % 2, i % 3, NOW - timedelta(hours=7 * i)) for i in range(8)]
    rules = DEFAULT_RULES.engagement
    straight = engagement_points(rules, table(rows), leads=2, now=NOW.timestamp())
    shuffled = engagement_points(rules, table([rows[i] for i in order]), leads=2, now=NOW.timestamp())
    assert np.array_equal(straight, shuffled)


def test_points_halve_in_a_half_life_and_a_day_brings_its_cap_at_most() -> None:
    rule = EventRule(key="r", label="r", event="e", points=10, half_life_days=14, daily_cap=25)
    day = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)
    cells = engagement_points([rule], table([(0, 0, day)] * 4 + [(1, 0, NOW)]), leads=2, now=NOW.timestamp())
    assert cells[:, 0].tolist() == pytest.approx([12.5, 10.0])


def test_an_event_from_the_future_counts_as_now() -> None:
    rule = EventRule(key="r", label="r", event="e", points=10)
    cells = engagement_points([rule], table([(0, 0, NOW + timedelta(days=90))]), leads=1, now=NOW.timestamp())
    assert cells[0, 0] == pytest.approx(10.0)


@given(
    st.lists(st.lists(st.floats(-200, 200, allow_nan=False), min_size=3, max_size=3), min_size=1, max_size=9)
)
def test_whole_points_keep_the_rounded_sum_and_move_no_cell_by_more_than_one(rows: list[list[float]]) -> None:
    cells = np.array(rows)
    whole = whole_points(cells)
    assert whole.sum(axis=1).tolist() == np.floor(cells.sum(axis=1) + 0.5).tolist()
    assert np.all(np.abs(whole - cells) <= 1.0)


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        (Operator.IS, ("acme",), [True, False, False, False]),
        (Operator.IS_NOT, ("acme",), [False, True, False, True]),
        (Operator.ONE_OF, ("ACME", 7), [True, False, False, True]),
        (Operator.CONTAINS, ("rok",), [False, True, False, False]),
        (Operator.PRESENT, (), [True, True, False, True]),
        (Operator.ABSENT, (), [False, False, True, False]),
        (Operator.AT_LEAST, (7,), [False, False, False, True]),
        (Operator.AT_MOST, (6.5,), [False, False, False, False]),
    ],
)
def test_operators(operator: Operator, values: tuple[str | float, ...], expected: list[bool]) -> None:
    rule = FieldRule(key="r", label="r", field="f", operator=operator, values=values, points=1)
    cells = fit_points([rule], {"f": [" Acme ", "Brokers", "  ", 7]}, leads=4)
    assert cells[:, 0].astype(bool).tolist() == expected


def test_true_is_not_one() -> None:
    rule = FieldRule(key="r", label="r", field="f", operator=Operator.IS, values=(1,), points=1)
    assert fit_points([rule], {"f": [True, 1, 1.0]}, leads=3)[:, 0].tolist() == [0, 1, 1]


def test_grades_and_buckets_follow_the_thresholds() -> None:
    rules = RuleSet(
        version=1,
        fit=(FieldRule(key="f", label="f", field="f", operator=Operator.PRESENT, points=35),),
        engagement=(EventRule(key="e", label="e", event="e", points=35, half_life_days=3650),),
    )
    result = scored(rules, [{"f": "x"}, {}, {"f": "x"}], [(0, 0, NOW), (1, 0, NOW)])
    assert result.grade == ["A1", "C1", "A3"]
    assert result.bucket == ["hot", "cold", "cold"]
    assert result.score.tolist() == [70, 35, 35]


def test_rules_that_contradict_each_other_are_refused() -> None:
    rule = EventRule(key="a", label="a", event="e", points=1)
    with pytest.raises(ValidationError, match="same event"):
        RuleSet(version=1, engagement=(rule, rule.model_copy(update={"key": "b"})))
    with pytest.raises(ValidationError, match="same key"):
        RuleSet(version=1, engagement=(rule, rule.model_copy(update={"event": "f"})))
    with pytest.raises(ValidationError, match="takes a number"):
        FieldRule(key="a", label="a", field="f", operator=Operator.AT_LEAST, values=("x",), points=1)


def test_an_empty_rule_set_scores_zero_for_no_reason() -> None:
    result = scored(RuleSet(version=1), [{}], [])
    assert result.score.tolist() == [0]
    assert result.reasons == [[]]
