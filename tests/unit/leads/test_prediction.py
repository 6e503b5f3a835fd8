"""Training, its measures and its refusals, without any database."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.lead_scoring.engagement import EventTable
from tasks.lead_scoring.prediction.encode import CategoricalField, NumericField, Values, learn_field
from tasks.lead_scoring.prediction.logistic import fit, probability
from tasks.lead_scoring.prediction.model import Model
from tasks.lead_scoring.prediction.train import Labelled, NotTrainedError, train
from tasks.lead_scoring.prediction.validation import auc, brier, calibration_error, stratified_folds
from tasks.lead_scoring.score import LeadTable, score_leads
from tasks.scoring_defaults import DEFAULT_RULES

NOW = datetime(2026, 5, 17, tzinfo=UTC)


def leads_of(count: int, *, seed: int = 1, strength: float = 2.0) -> Labelled:
    chance = np.random.default_rng(seed)
    visits = chance.poisson(5, count)
    source = chance.choice(["google", "referral"], count)
    logits = strength * ((visits - 5) / 2.2 + 1.5 * (source == "referral") - 0.75)
    converted = (chance.random(count) < probability(logits)).astype(float)
    return Labelled({"visits": visits.tolist(), "source": source.tolist()}, converted)


def trained(data: Labelled, before: Model | None = None, excluded: frozenset[str] = frozenset()) -> Model:
    return train(data, at=NOW, before=before, excluded=excluded)


def test_a_model_ranks_leads_it_has_not_seen_and_its_chances_can_be_believed() -> None:
    card = trained(leads_of(2_000)).card
    assert 0.85 < card.auc < 0.95
    assert card.brier < 0.16
    assert card.calibration_error < 0.04
    assert (card.labels, card.fields) == (2_000, ("source", "visits"))


def test_the_same_leads_give_the_same_model() -> None:
    assert trained(leads_of(300)) == trained(leads_of(300))


def test_a_model_comes_back_from_json_and_predicts_the_same() -> None:
    data = leads_of(300)
    model = trained(data)
    again = Model.model_validate_json(model.model_dump_json())
    assert np.array_equal(again.predict(data.columns, leads=300), model.predict(data.columns, leads=300))


def test_a_lead_without_any_known_field_still_gets_a_chance() -> None:
    chances = trained(leads_of(300)).predict({}, leads=2)
    assert np.all((chances > 0.0) & (chances < 1.0))


@pytest.mark.parametrize("count", [0, 49])
def test_too_few_labels_are_refused(count: int) -> None:
    with pytest.raises(NotTrainedError, match="needs 50"):
        trained(leads_of(count))


def test_too_few_of_one_class_are_refused() -> None:
    data = leads_of(200)
    converted = np.zeros(200)
    converted[:9] = 1.0
    with pytest.raises(NotTrainedError, match="9 converted"):
        trained(Labelled(data.columns, converted))


def test_a_field_written_after_the_outcome_is_refused_by_name() -> None:
    data = leads_of(400)
    columns = {**data.columns, "Lead Quality": data.converted.tolist(), "city": ["x", "y"] * 200}
    model = trained(Labelled(columns, data.converted), excluded=frozenset({"City"}))
    assert model.card.refused == {
        "Lead Quality": "written after the outcome",
        "city": "left out by the organization",
    }


def test_a_field_that_alone_tells_the_outcome_is_refused() -> None:
    data = leads_of(400)
    columns = {**data.columns, "contract": ["signed" if won else "none" for won in data.converted]}
    assert "too good" in trained(Labelled(columns, data.converted)).card.refused["contract"]


def test_a_clearly_worse_model_does_not_replace_a_better_one() -> None:
    good = trained(leads_of(1_000))
    assert trained(leads_of(1_000), before=good).card.auc > 0.8
    with pytest.raises(NotTrainedError, match="ranks worse than version 1"):
        trained(leads_of(1_000, strength=0.2), before=good)


def test_leads_that_nothing_tells_apart_give_no_model() -> None:
    same = {"visits": [1] * 100, "name": [f"lead {number}" for number in range(100)]}
    with pytest.raises(NotTrainedError, match="no field"):
        trained(Labelled(same, np.array([0.0, 1.0] * 50)))


def test_the_reasons_still_sum_when_a_model_has_a_say() -> None:
    data = leads_of(500)
    nothing = np.empty(0)
    none = EventTable(nothing.astype(int), nothing.astype(int), nothing, nothing.astype(int), nothing)
    model = trained(data)
    leads = LeadTable(data.columns, none, 500)
    result = score_leads(DEFAULT_RULES, leads, now=0.0, model=model)
    plain = score_leads(DEFAULT_RULES, leads, now=0.0)
    for score, reasons in zip(result.score.tolist(), result.reasons, strict=True):
        assert sum(reason["points"] for reason in reasons) == score
        assert 0 <= score <= 100
    assert auc(data.converted, result.score.astype(float)) > auc(data.converted, plain.score.astype(float))
    expected = (1 - 500 / 700) * plain.score + 500 / 700 * 100 * model.predict(data.columns, leads=500)
    assert np.all(np.abs(result.score - expected) <= 0.5 + 1e-9)


def test_fields_are_learned_as_what_they_are() -> None:
    assert isinstance(learn_field("n", Values.of([1, 2.5, "3", None] * 10)), NumericField)
    assert isinstance(learn_field("c", Values.of(["a", "B", None] * 10)), CategoricalField)
    assert isinstance(learn_field("flag", Values.of([True, False] * 10)), CategoricalField)
    assert learn_field("constant", Values.of([7] * 30)) is None
    assert learn_field("id", Values.of([f"id {number}" for number in range(30)])) is None
    assert learn_field("empty", Values.of([None] * 30)) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[bool, int]]) -> None:
    won = [score for converted, score in pairs if converted]
    lost = [score for converted, score in pairs if not converted]
    if not won or not lost:
        return
    right = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in won for b in lost)
    labels = np.array([float(converted) for converted, _ in pairs])
    scores = np.array([float(score) for _, score in pairs])
    assert auc(labels, scores) == pytest.approx(right / (len(won) * len(lost)))


def test_measures_of_a_perfect_and_of_a_blind_forecast() -> None:
    labels = np.array([0.0, 1.0] * 50)
    assert brier(labels, labels) == 0.0
    assert calibration_error(labels, labels) == 0.0
    assert brier(labels, np.full(100, 0.5)) == 0.25


def test_folds_share_out_both_classes() -> None:
    labels = np.array([1.0] * 12 + [0.0] * 88)
    fold = stratified_folds(labels)
    assert sorted(np.bincount(fold[labels == 1.0]).tolist()) == [2, 2, 2, 3, 3]


def test_the_fit_is_where_the_gradient_vanishes() -> None:
    chance = np.random.default_rng(3)
    features = chance.normal(size=(200, 3))
    labels = (chance.random(200) < probability(features @ np.array([1.0, -2.0, 0.0]))).astype(float)
    intercept, weights = fit(features, labels)
    off = probability(intercept + features @ weights) - labels
    assert np.abs(features.T @ off + weights).max() < 1e-6
    assert abs(off.sum()) < 1e-6
