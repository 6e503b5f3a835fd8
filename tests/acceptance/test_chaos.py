"""Everything breaks at random while jobs run: nothing is lost and nothing done twice (see `make chaos`)."""

from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from config.settings import Settings
from ops.stack import Stack
from tests.chaos.fault import FAULTS
from tests.chaos.run import Profile, run
from tests.chaos.show import show

PROFILE = Profile(jobs=1_500, lasting=timedelta(seconds=40), seed=1, gap_s=0.2, fewest_faults=len(FAULTS) / 2)


@pytest.mark.timeout(900)  # it recovers from what breaks, and that takes a busy machine a while
def test_nothing_is_lost_or_done_twice_while_everything_breaks(
    stack: Stack,
    settings: Settings,
    environment: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = run(PROFILE, stack, environment, tmp_path, say=lambda _: None)

    with capsys.disabled():
        show(report, Console(width=110))
    assert report.findings == []
