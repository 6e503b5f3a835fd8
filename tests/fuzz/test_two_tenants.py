"""Whatever one tenant asks with the other's ids, cursors, tags and keys, it gets nothing of the other's."""

import os
import re
from datetime import UTC, datetime, timedelta
from math import ceil

import pytest

from tests.fuzz.forgery import Forger, Loot, loot
from tests.support.breach import breach
from tests.support.furnish import furnish
from tests.support.specimen import Document
from tests.support.two_tenants import World

CASES = int(os.environ.get("FUZZ_CASES", "480"))
"""Requests in all; the long form asks for tens of thousands."""
SEED = int(os.environ.get("FUZZ_SEED", "7"))

API = "/api/v1"
MARKED = frozenset(
    f"{API}/{path}"
    for path in (
        *("jobs", "dead-letters/{job_id}", "schedules/{item_id}", "leads", "leads/export.csv"),
        *("scoring/rules", "scoring/model", "analytics/rollup", "social/accounts", "social/posts/{item_id}"),
        *("content/media/{item_id}/file", "campaigns/{item_id}", "reports/{report_id}", "alerts"),
        *("alerts/deliveries/{item_id}", "webhooks", "alert-recipients", "users", "organization"),
    )
)
"""Routes that give a tenant texts or ids of its own: the watch has to see them."""
LEAKING = MARKED - {
    # Their statements name the tenant beside the policies, and a file lies below its tenant's folder.
    *(f"{API}/{path}" for path in ("analytics/rollup", "dead-letters/{job_id}", "scoring/rules")),
    f"{API}/content/media/{{item_id}}/file",
}
"""Routes that leak at once where no policy holds."""

OUTSIDE = frozenset({502})
"""A platform did not answer: none does here."""


@pytest.fixture(scope="module")
def taken(world: World) -> Loot:
    found = loot(world, world.theirs)
    assert len(found.cursors) >= 7
    assert found.tags
    return found


@pytest.fixture(scope="module")
def document(world: World) -> Document:
    return Document(world.app.openapi())


def test_the_watch_sees_what_a_tenant_is_given_of_its_own(world: World, document: Document) -> None:
    """Else it would see no leak either."""
    watch, seen = world.watch(world.theirs), set[str]()
    for place in (0, -1):
        for sample in document.samples(lambda name, at=place: world.theirs.made.get(name, [""])[at]):
            if sample.method == "GET":
                answer = sample.send(world.client, world.theirs.headers())
                assert answer.status_code < 500, answer.text
                seen |= {sample.route} if watch.found(answer, sent=sample.said) else set()
    assert seen >= MARKED
    assert len(seen) >= 40


def test_nothing_of_the_other_tenant_is_given_or_changed(
    world: World, document: Document, taken: Loot
) -> None:
    forger = Forger(document, world.mine, taken, SEED)
    watch, before = world.watch(world.theirs), world.digest(world.theirs)
    asked, planted = 0, set[str]()
    for sample in forger.requests(max(2, ceil(CASES / sum(1 for _ in document.operations())))):
        answer = sample.send(world.client, world.mine.headers())
        asked += 1
        assert answer.status_code < 500 or answer.status_code in OUTSIDE, (sample, answer.text)
        if answer.is_success and sample.method != "GET":
            planted |= watch.traces(sample.said)
        assert set(watch.found(answer, sent=sample.said)) <= planted, (sample, answer.text)
    assert asked >= CASES * 0.8
    assert not any(world.theirs.marker in each for each in planted if "key" not in each)
    assert world.digest(world.theirs) == before


def test_the_fuzz_sees_what_leaks_where_no_policy_holds(
    world: World, document: Document, taken: Loot
) -> None:
    forger = Forger(document, world.mine, taken, SEED)
    watch, seen = world.watch(world.theirs), set[str]()
    with breach(world):
        for sample in forger.requests(3):
            if sample.method == "GET" and sample.route.startswith("/api/"):
                answer = sample.send(world.client, world.mine.headers())
                if answer.status_code == 500 or watch.found(answer, sent=sample.said):
                    seen.add(sample.route)
    assert seen >= LEAKING
    assert len(seen) >= 30


def test_what_one_tenant_does_changes_no_answer_to_the_other(world: World, document: Document) -> None:
    """Also not a number in it: figures carry no marker."""
    before = _answers(world, document, world.mine.headers())
    furnish(world.client, world.theirs, again="again")
    assert _answers(world, document, world.mine.headers()) == before


def test_an_answer_with_the_other_tenants_figures_would_be_seen_to_change(
    world: World, document: Document
) -> None:
    """As of an intake that believed a header which names the tenant: it answers as to the other."""
    before = _answers(world, document, world.theirs.headers())
    furnish(world.client, world.theirs, again="anew")
    after = _answers(world, document, world.theirs.headers())
    changed = {route for route in before if before[route] != after[route]}
    assert changed >= FIGURES


FIGURES = frozenset({"/api/v1/usage", "/api/v1/analytics/rollup", "/api/v1/analytics/query"})
TODAY = datetime.now(UTC).date()
"""The day all this began: midnight may pass between two questions, which have to be the same."""
VOLATILE = re.compile(r'"(?:request_id|resets_at|ahead|[a-z_]*_at|checked|reset_seconds)":[^,}]*')


def _answers(world: World, document: Document, headers: dict[str, str]) -> dict[str, str]:
    """Return what every reading route answers, without what no two answers have in common."""
    span = (("first", str(TODAY - timedelta(days=300))), ("last", str(TODAY + timedelta(days=1))))
    found = {}
    for sample in document.samples(lambda name: world.mine.made.get(name, [""])[0]):
        # Reading an export is itself audited.
        if sample.method == "GET" and sample.route.startswith("/api/") and "/audit" not in sample.route:
            query = span if sample.route.startswith("/api/v1/analytics") else sample.query
            answer = sample.with_(query=query).send(world.client, headers)
            found[sample.route] = f"{answer.status_code} {VOLATILE.sub('', answer.text)}"
    return found
