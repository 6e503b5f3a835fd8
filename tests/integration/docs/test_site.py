"""The site is built strictly, holds every page, and needs nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import ROOT, Settings
from models.user import Permission
from ops.reference.hook import made_pages
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
    built = {str(page.relative_to(site)) for page in site.rglob("*.html")}
    assert written <= built
    assert {path.replace(".md", ".html") for path in made_pages()} <= built


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        outside = [url for url in FETCHED.findall(page.read_text()) if "canonical" not in url]
        assert outside == [], page


def test_the_reference_names_everything() -> None:
    made = made_pages()
    for name in Settings.model_fields:
        assert f"`GENIUS_{name.upper()}`" in made["reference/settings.md"]
    for kind in CATALOG:
        assert f"\n## {kind}\n" in made["reference/kinds.md"]
    for permission in Permission:
        assert f"| `{permission}` |" in made["reference/permissions.md"]
    for command in ("genius up", "genius tenant weight", "genius backup", "genius token"):
        assert f"\n## {command}\n" in made["reference/commands.md"]
    assert "`POST /api/v1/jobs`" in made["reference/http.md"]
    assert "`genius_lane_oldest_seconds`" in made["reference/metrics.md"]
    assert "`genius_job_wait_seconds`" in made["reference/metrics.md"]
