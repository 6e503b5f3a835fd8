"""What an operator finds with a browser, and in how many clicks."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from models.history import list_jobs
from models.job import JobState
from models.session import tenant_session
from tests.browser.conftest import Floor
from tests.support.crowd import HOSTILE

Visit = Callable[..., Page]


class Hand:
    """Clicks, and counts."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    def click(self, role: str, name: str) -> None:
        self.page.get_by_role(role, name=name, exact=True).first.click()  # type: ignore[arg-type]
        self.clicks += 1


def test_the_noisy_tenant_is_two_clicks_away(floor: Floor, noise: None, visit: Visit) -> None:
    hand = Hand(visit())
    hand.click("link", "Tenants")
    first = hand.page.locator("#tenants tbody tr").first
    expect(first).to_contain_text(floor.crowd.noisy.name)
    first.get_by_role("link").click()
    hand.clicks += 1
    expect(hand.page.get_by_role("heading", level=1)).to_contain_text(floor.crowd.noisy.name)
    assert hand.clicks <= 2


def test_why_a_job_waits_is_one_click_away(floor: Floor, noise: None, visit: Visit) -> None:
    with tenant_session(floor.database, floor.crowd.noisy.organization_id) as session:
        [job] = list_jobs(session, ("id",), state=JobState.QUEUED, kind=None, before=None, limit=1)
    hand = Hand(visit())
    hand.page.get_by_label("Id of a job").fill(str(job.id))
    hand.click("button", "Why?")
    expect(hand.page.locator("#why")).to_have_text(re.compile("come first|at once"))
    expect(hand.page.get_by_text("Own jobs before it")).to_be_visible()
    assert hand.clicks == 1


def test_dead_letters_of_everybody_are_one_click_away(floor: Floor, visit: Visit) -> None:
    hand = Hand(visit())
    hand.click("link", "Dead letters")
    for tenant in floor.crowd.dying:
        row = hand.page.locator("#dead-letters tbody tr", has_text=tenant.name)
        expect(row).to_contain_text("told to fail for good")
    assert hand.clicks == 1


def test_a_task_leads_to_its_job_and_a_job_to_its_task(floor: Floor, visit: Visit) -> None:
    page = visit()
    page.get_by_role("link", name="Tasks", exact=True).click()
    # One that has ended: of one that waits there is no attempt yet.
    row = page.locator("#tasks-table tbody tr", has_text="SUCCESS").first
    row.locator("td:nth-child(3) a").click()
    page.get_by_role("link", name="Why it waits, or what became of it").click()
    expect(page.locator("#why")).to_be_visible()
    page.get_by_role("link", name="attempt 1").click()
    expect(page.get_by_text("State of this attempt")).to_be_visible()


def test_pausing_and_resuming_is_a_click_and_is_told(floor: Floor, visit: Visit) -> None:
    tenant = floor.crowd.others[2]
    page = visit()
    page.goto(f"/tenants/{tenant.organization_id}")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_contain_text("none of its jobs begin")
    expect(page.get_by_role("heading", level=1)).to_contain_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("status")).to_contain_text("begin again")
    expect(page.get_by_text("operator:ada")).to_have_count(2)


def test_what_a_tenant_calls_itself_is_text_everywhere_and_nothing_comes_from_elsewhere(
    floor: Floor, visit: Visit
) -> None:
    page, troubles = visit(), list[str]()
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda said: troubles.append(said.text))
    page.on(
        "request", lambda asked: troubles.append(asked.url) if floor.flower.url not in asked.url else None
    )
    hostile = floor.crowd.hostile
    for path in ("/tenants?q=script", f"/tenants/{hostile.organization_id}", "/broker", "/tasks"):
        page.goto(path, wait_until="load")
        if "tenants" in path:
            expect(page.locator("main")).to_contain_text(HOSTILE)
    assert troubles == []
