"""`genius top` on a terminal: it fits, follows what happens, and leaves the terminal as it was."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from config.settings import Settings
from models.organization import Tenant
from models.session import Database
from tasks.catalog import ROLLUP
from tasks.payloads import Rollup
from tests.support.terminal import HIDDEN_CURSOR, OTHER_SCREEN, OWN_SCREEN, SHOWN_CURSOR, Terminal
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.submit import Submission, submit

CROWD = 14
"""More tenants than fit below the lanes of 24 rows."""
GENIUS = str(Path(sys.executable).with_name("genius"))


@pytest.mark.parametrize(
    ("columns", "rows", "key", "whole"), [(80, 24, "q", False), (120, 40, "\x03", True)], ids=["q", "Ctrl-C"]
)
def test_top_fits_follows_and_leaves_the_terminal_as_it_was(
    settings: Settings,
    database: Database,
    organization: Callable[..., Tenant],
    environment: dict[str, str],
    columns: int,
    rows: int,
    key: str,
    *,
    whole: bool,
) -> None:
    publisher = Publisher(settings)
    loud = organization(name="Loud Lemon")
    submitted(database, publisher, loud, 3)
    for number in range(CROWD - 1):
        submitted(database, publisher, organization(name=f"Quiet {number}"), 1)
    command = [GENIUS, "top", "--interval", "0.2", "--limit", str(CROWD)]
    with Terminal(command, os.environ | environment, columns, rows) as terminal:
        before = terminal.mode
        wait_until(lambda: waiting(terminal, "Loud Lemon") == 3, 60)
        assert terminal.mode != before, "keys are read as they are pressed"
        assert terminal.drawn.count(OTHER_SCREEN) == terminal.drawn.count(HIDDEN_CURSOR) == 1
        assert fits(terminal, whole=whole)
        submitted(database, publisher, loud, 2)
        wait_until(lambda: waiting(terminal, "Loud Lemon") == 5)
        terminal.press("x" + key)
        assert terminal.process.wait(60) == 0
        assert terminal.mode == before
        drawn = terminal.all_drawn()
        assert drawn.rfind(OWN_SCREEN) > drawn.rfind(OTHER_SCREEN)
        assert drawn.rfind(SHOWN_CURSOR) > drawn.rfind(HIDDEN_CURSOR)
        assert b"Traceback" not in drawn


def submitted(database: Database, publisher: Publisher, tenant: Tenant, count: int) -> None:
    submit(database, tenant, [Submission(ROLLUP, Rollup())] * count, publisher=publisher)


def waiting(terminal: Terminal, tenant: str) -> int:
    """Return what stands below "waiting" in the tenant's line."""
    lines = terminal.frame()
    heading = next((line for line in lines if line.startswith("tenant ")), "")
    line = next((line for line in lines if line.startswith(tenant)), "")
    end = heading.find("waiting") + len("waiting")
    found = re.search(r"\d+$", line[:end])
    return int(found[0]) if heading and found else 0


def fits(terminal: Terminal, *, whole: bool) -> bool:
    """Tell whether everything stands on the screen, the last lines too, and no name is cut."""
    lines = terminal.frame()
    text = "\n".join(lines)
    shown = len(re.findall(r"^Quiet \d+ ", text, re.MULTILINE)) + 1
    count = f"Tenants {CROWD}," if whole else f"Tenants {shown} of {CROWD},"
    assert count in text, text
    assert (shown == CROWD) is whole
    assert len(lines) <= terminal.rows
    assert max(map(len, lines)) <= terminal.columns
    return all(said in text for said in ("workers: ", "dead letters ", "relay: ", "q quits"))
