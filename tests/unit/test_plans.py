import pytest
from pydantic import ValidationError

from config.plans import PLANS, STARTER, Limit, terms_of
from config.settings import Settings


def test_without_overrides_the_terms_are_the_plan() -> None:
    assert terms_of("starter", {}) is STARTER


def test_an_override_replaces_its_field_and_leaves_the_others() -> None:
    terms = terms_of("starter", {"weight": 5, "soft_cap": None})
    assert (terms.weight, terms.soft_cap) == (5, None)
    assert (terms.cap, terms.max_backlog, terms.limits) == (STARTER.cap, STARTER.max_backlog, STARTER.limits)


def test_features_and_limits_are_added_to_the_plans() -> None:
    terms = terms_of("starter", {"features": ["beta"], "limits": {"users": {"amount": 9}}})
    assert terms.features == STARTER.features | {"beta"}
    assert terms.limits == {**STARTER.limits, "users": Limit(9)}


def test_the_installation_keeps_the_history_of_every_plan() -> None:
    kept = Settings.model_fields["history_kept"].default
    assert all(30 <= plan.history_days <= kept.days for plan in PLANS.values())
    assert terms_of("starter", {"history_days": 90}).history_days == 90
    with pytest.raises(ValidationError):
        terms_of("starter", {"history_days": 29})


def test_a_pause_is_kept_among_the_overrides() -> None:
    assert not any(plan.paused or plan.paused_kinds for plan in PLANS.values())
    terms = terms_of("enterprise", {"paused": True, "paused_kinds": ["leads.score"]})
    assert (terms.paused, terms.paused_kinds) == (True, frozenset({"leads.score"}))


@pytest.mark.parametrize("overrides", [{"weight": 0}, {"cap": 0}, {"wait": 1}, {"paused": 3}])
def test_an_override_that_makes_no_sense_is_refused(overrides: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        terms_of("starter", overrides)
