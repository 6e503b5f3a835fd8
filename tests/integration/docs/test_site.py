"""The site is built strictly, holds every page, and needs nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import ROOT, Settings
from models.user import Permission
from tasks.catalog import CATALOG
from tests.support.manual import DOCS

FETCHED = re.compile(r"<(?:link|script|img|iframe)[^>]+(?:href|src)=\"?((?:https?:)?//[^\s\">]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    built = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", directory],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return directory


def test_every_page_is_built(site: Path) -> None:
    written = {str(page.relative_to(DOCS).with_suffix(".html")) for page in DOCS.rglob("*.md")}
    made = set(re.findall(r"reference/(\w+)\.md", (ROOT / "mkdocs.yml").read_text()))
    built = {str(page.relative_to(site)) for page in site.rglob("*.html")}
    assert written <= built
    assert len(made) == 7
    assert {f"reference/{name}.html" for name in made} <= built


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        outside = [url for url in FETCHED.findall(page.read_text()) if "canonical" not in url]
        assert outside == [], page


def test_the_reference_names_everything(site: Path) -> None:
    made = {page.stem: page.read_text() for page in (site / "reference").glob("*.html")}
    for name in Settings.model_fields:
        assert f"<code>GENIUS_{name.upper()}</code>" in made["settings"]
    for kind in CATALOG:
        assert f"<code>{kind}</code>" in made["kinds"]
    for permission in Permission:
        assert f"<code>{permission}</code>" in made["permissions"]
    for command in ("genius up", "genius tenant weight", "genius backup", "genius token"):
        assert f">{command}<" in made["commands"]
    assert "<code>POST /api/v1/jobs</code>" in made["http"]
    assert "<code>genius_lane_oldest_seconds</code>" in made["metrics"]
    assert "<code>genius_job_wait_seconds</code>" in made["metrics"]
