"""The page of a report as a browser makes it: what others wrote is text, whole and in its own direction."""

import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from models.organization import Tenant
from models.report import Report
from models.session import Database
from tests.integration.families.report_seed import ARABIC, EMOJI, FORMULA, HEBREW, MARKUP, OVERRIDE, seed
from tests.integration.families.test_reports import report_of
from worker.context import Completion

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

Run = Callable[..., Completion]

NAMES = [MARKUP, HEBREW, ARABIC, EMOJI, FORMULA, OVERRIDE.replace("\u202e", " ")]


class Page(HTMLParser):
    """Gathers the elements of a page, what they point to, and the texts that stand apart."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.apart: list[str] = []
        self._depth = 0
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "bdi":
            self.apart.append("")
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "bdi":
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.apart[-1] += data


@pytest.fixture
def report(database: Database, run: Run) -> Report:
    tenant: Tenant = seed(database, name=f"{MARKUP} {HEBREW}")
    return report_of(database, tenant, run)


def check(source: str) -> None:
    page = Page(source)
    assert not page.elements & {"script", "b2", "iframe", "object", "link", "base", "form", "a"}
    assert set(NAMES) | {f"{MARKUP} {HEBREW}"} <= set(page.apart)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    pointing = [value for name, value in page.attributes if name in {"src", "href", "srcset", "action"}]
    assert [value for value in pointing if not value.startswith("data:image/")] == []
    assert "\u202e" not in source
    assert re.search(r"url\(|@import|https?://(?!example\.org)", source) is None


def test_the_page_holds_no_script_no_resource_and_every_name_as_text(report: Report) -> None:
    check(report.html)
    assert "default-src 'none'" in report.html
    assert "<script>alert" not in report.html


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed (apt-get install chromium)")
def test_a_browser_makes_of_it_what_was_meant(report: Report, tmp_path: Path) -> None:
    file, picture = tmp_path / "report.html", tmp_path / "report.png"
    file.write_text(report.html)

    def browse(*options: str) -> str:
        command = [str(BROWSER), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *options, file.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)  # noqa: S603 - the browser found above
        return done.stdout

    built = browse("--dump-dom")
    check(built)
    assert built.count("<svg") == report.html.count("<svg") > 10
    assert built.count("<polyline") == 14, "one line a metric"
    browse(f"--screenshot={picture}", "--window-size=1280,1600")
    assert picture.stat().st_size > 100_000, "a page that shows nothing is a smaller picture"
