"""Rules in versions, the model's card, and what a plan without prediction is told."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from models.audit import AuditEntry
from models.organization import Organization, Tenant
from models.scoring import LeadModel
from models.session import Database, tenant_session
from tests.integration.intake.problems import fields, refused

Headers = dict[str, str]
RULES = "/api/v1/scoring/rules"
MODEL = "/api/v1/scoring/model"
PHONE = {"key": "phone", "label": "Phone", "points": 60, "field": "phone", "operator": "present"}
UNLABELLED = {name: PHONE[name] for name in PHONE if name != "label"}


def put(client: httpx.Client, headers: Headers, rules: dict[str, Any], **rest: Any) -> httpx.Response:
    return client.put(RULES, json={"rules": rules} | rest, headers=headers)


def test_rules_begin_with_the_defaults_and_go_on_in_versions(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, acme: Tenant, database: Database
) -> None:
    defaults = client.get(RULES, headers=as_acme).json()
    assert (defaults["version"], defaults["warnings"]) == (0, [])
    first = put(client, as_acme, defaults["rules"] | {"hot_from": 80}, replaces=0, note="stricter").json()
    assert (first["version"], first["rules"]["hot_from"], first["note"]) == (1, 80, "stricter")
    assert put(client, as_acme, {"fit": [PHONE]}).json()["version"] == 2
    assert client.get(RULES, headers=as_acme).json()["rules"]["fit"][0]["key"] == "phone"
    versions = client.get(f"{RULES}/versions", headers=as_acme, params={"limit": 1}).json()
    assert [one["version"] for one in versions["items"]] == [2]
    query = {"cursor": versions["next_cursor"]}
    rest = client.get(f"{RULES}/versions", headers=as_acme, params=query).json()
    assert [one["version"] for one in rest["items"]] == [1]
    assert client.get(f"{RULES}/versions/1", headers=as_acme).json()["rules"] == first["rules"]
    again = client.post(f"{RULES}/versions/0/restore", headers=as_acme).json()
    assert (again["version"], again["rules"]) == (3, defaults["rules"])
    refused(client.get(f"{RULES}/versions/4", headers=as_acme), 404)
    assert client.get(RULES, headers=as_globex).json()["version"] == 0
    refused(client.get(f"{RULES}/versions/1", headers=as_globex), 404)
    with tenant_session(database, acme.organization_id) as session:
        assert session.scalars(select(AuditEntry.action)).all().count("scoring.rules") == 3


def test_of_two_who_change_the_same_version_one_is_told(client: httpx.Client, as_acme: Headers) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: put(client, as_acme, {"fit": [PHONE]}, replaces=0), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    late = next(answer for answer in answers if answer.status_code == 409)
    assert refused(late, 409)["version"] == 1


@pytest.mark.parametrize(
    ("rules", "field", "message"),
    [
        ({"fit": [UNLABELLED]}, "rules.fit[0].label", "is required"),
        ({"fit": [PHONE | {"points": 101}]}, "rules.fit[0].points", "100"),
        ({"fit": [PHONE | {"operator": "matches"}]}, "rules.fit[0].operator", "contains"),
        ({"fit": [PHONE | {"values": ["x"]}]}, "rules.fit[0]", "present takes 0 to 0 values"),
        ({"fit": [PHONE | {"operator": "at_least", "values": ["x"]}]}, "rules.fit[0]", "takes a number"),
        ({"fit": [PHONE | {"operator": "contains", "values": [" "]}]}, "rules.fit[0]", "not blank"),
        ({"fit": [PHONE, PHONE]}, "rules", "same key 'phone'"),
        ({"fit": [PHONE | {"key": "model"}]}, "rules", "reserved"),
        ({"hot_from": 20}, "rules", "hot_from, warm_from: the higher threshold comes first"),
        ({"engagement": [{"key": "e", "label": "e", "event": "e", "points": 1, "half_life_days": 0}]},
         "rules.engagement[0].half_life_days", "greater than 0"),
        ({"decay": 3}, "rules.decay", "not a known field"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_rules_that_cannot_be_meant_are_refused_by_field(
    client: httpx.Client, as_acme: Headers, rules: dict[str, Any], field: str, message: str
) -> None:
    document = refused(put(client, as_acme, rules), 422)
    assert fields(document) == [(None, field)]
    assert message in document["error"]
    assert client.get(RULES, headers=as_acme).json()["version"] == 0


def test_thresholds_that_nobody_reaches_are_stored_with_a_warning(
    client: httpx.Client, as_acme: Headers
) -> None:
    answer = put(client, as_acme, {"fit": [PHONE | {"points": 10}]}).json()
    grade, bucket = answer["warnings"]
    assert grade.startswith("no lead reaches grade A")
    assert bucket.startswith("no lead is hot by the rules")


def test_a_viewer_reads_rules_and_changes_none(
    client: httpx.Client, acme: Tenant, sign: Callable[..., Headers]
) -> None:
    viewer = sign(acme, role="viewer")
    assert client.get(RULES, headers=viewer).status_code == 200
    refused(put(client, viewer, {}), 403)
    refused(client.post(f"{RULES}/versions/0/restore", headers=viewer), 403)
    refused(client.patch(MODEL, json={}, headers=viewer), 403)


def test_a_starter_is_told_which_plan_has_prediction(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers]
) -> None:
    starter = sign(organization(plan="starter"))
    asked = [
        client.post("/api/v1/jobs", json={"kind": "leads.train_model", "payload": {}}, headers=starter),
        client.get(MODEL, headers=starter),
        client.get(f"{MODEL}/versions", headers=starter),
        client.patch(MODEL, json={"excluded": []}, headers=starter),
        client.post(f"{MODEL}/versions/1/retire", headers=starter),
    ]
    for answer in asked:
        document = refused(answer, 403)
        assert document["type"].endswith("feature-not-in-plan")
        assert (document["feature"], document["plan"]) == ("predictive_scoring", "starter")
        assert "professional" in document["error"]


def test_an_override_gives_a_starter_prediction(
    client: httpx.Client,
    organization: Callable[..., Tenant],
    sign: Callable[..., Headers],
    database: Database,
) -> None:
    tenant = organization(plan="starter")
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(Organization).values(plan_overrides={"features": ["predictive_scoring"]}))
    assert client.get(MODEL, headers=sign(tenant)).json()["in_use"] is None


def test_models_are_shown_with_their_cards_and_retired_one_by_one(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, acme: Tenant, database: Database
) -> None:
    with tenant_session(database, acme.organization_id) as session:
        session.add_all(
            LeadModel(organization_id=acme.organization_id, version=n, model={"card": {"auc": n / 8}})
            for n in (1, 2)
        )
    assert client.get(MODEL, headers=as_acme).json()["in_use"]["card"] == {"auc": 0.25}
    assert client.get(MODEL, headers=as_globex).json()["in_use"] is None
    refused(client.post(f"{MODEL}/versions/2/retire", headers=as_globex), 404)
    assert client.post(f"{MODEL}/versions/2/retire", headers=as_acme).json()["retired_at"]
    assert client.get(MODEL, headers=as_acme).json()["in_use"]["version"] == 1
    shown = client.get(f"{MODEL}/versions", headers=as_acme).json()["items"]
    assert [(one["version"], one["retired_at"] is None) for one in shown] == [(2, False), (1, True)]


def test_consent_is_off_until_who_pays_gives_it_and_is_audited(
    client: httpx.Client, acme: Tenant, as_acme: Headers, as_globex: Headers, sign: Callable[..., Headers],
    database: Database,
) -> None:  # fmt: skip
    assert client.get(MODEL, headers=as_acme).json()["pools_training_data"] is False
    member = sign(acme, role="member")
    refused(client.patch(MODEL, json={"pools_training_data": True}, headers=member), 403)
    changed = client.patch(MODEL, json={"excluded": ["Tags", "City"]}, headers=member).json()
    assert (changed["excluded"], changed["pools_training_data"]) == (["City", "Tags"], False)
    changed = client.patch(MODEL, json={"pools_training_data": True}, headers=as_acme).json()
    assert (changed["excluded"], changed["pools_training_data"]) == (["City", "Tags"], True)
    assert client.get(MODEL, headers=as_globex).json()["pools_training_data"] is False
    with tenant_session(database, acme.organization_id) as session:
        assert "scoring.consent" in session.scalars(select(AuditEntry.action)).all()
