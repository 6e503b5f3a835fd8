import json
from pathlib import Path
from typing import Any

import pytest

from config.plans import ENTERPRISE, PROFESSIONAL, STARTER
from models.organization import PlanName
from ops.simulation.setting import SettingError, apply, read_setting
from ops.simulation.workload import Workload, WorkloadError, read_workload

LINE: dict[str, Any] = {"at_ms": 0, "organization": "a", "kind": "leads.score", "duration_ms": 10}


def read(directory: Path, *lines: dict[str, Any] | str) -> Workload:
    path = directory / "workload.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return read_workload(path, plan=PlanName.STARTER)


def test_jobs_come_in_the_order_of_their_arrival_each_in_the_lane_of_its_kind(tmp_path: Path) -> None:
    later = LINE | {"at_ms": 1.5, "kind": "social.publish_post", "organization": "later"}
    unknown = LINE | {"at_ms": 2, "kind": "mail.send"}
    found = read(tmp_path, unknown, later, "", LINE).arrivals
    assert [(job.at_us, job.lane) for job in found] == [(0, "scoring"), (1_500, "social"), (2_000, "other")]
    assert found[0].duration_us == 10_000


def test_an_organization_has_the_plan_that_its_first_line_names(tmp_path: Path) -> None:
    lines = [LINE, LINE | {"plan": "enterprise"}, LINE | {"plan": "starter"}, LINE | {"organization": "b"}]
    assert read(tmp_path, *lines).terms == {"a": ENTERPRISE, "b": STARTER}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "JSON"),
        (LINE | {"at_ms": -1}, "at_ms"),
        (LINE | {"duration_ms": "x"}, "duration_ms"),
        (LINE | {"organization": ""}, "organization"),
        (LINE | {"plan": "platinum"}, "plan"),
        (LINE | {"weight": 3}, "weight"),
        ({"at_ms": 0}, "organization"),
    ],
)
def test_a_bad_line_is_named_by_its_number(
    tmp_path: Path, line: dict[str, Any] | str, complaint: str
) -> None:
    with pytest.raises(WorkloadError, match=complaint) as refused:
        read(tmp_path, LINE, line)
    assert refused.value.line == 2


def test_a_workload_without_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="no job"):
        read(tmp_path, "")
    with pytest.raises(WorkloadError, match="cannot be read"):
        read_workload(tmp_path / "absent", plan=PlanName.STARTER)


def test_settings_apply_in_their_order() -> None:
    settings = [read_setting(text) for text in ("a.b.cap=4", "a.b.soft_cap=none", "c.plan=professional")]
    changed = apply({"a.b": STARTER, "c": STARTER, "d": STARTER}, settings)
    assert (changed["a.b"].cap, changed["a.b"].soft_cap, changed["a.b"].weight) == (4, None, STARTER.weight)
    assert (changed["c"], changed["d"]) == (PROFESSIONAL, STARTER)
    over = apply({"c": STARTER}, [read_setting("c.weight=9"), read_setting("c.plan=enterprise")])
    assert over["c"] == ENTERPRISE


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("weight=3", "ORG.weight=5"),
        ("a.weight", "ORG.weight=5"),
        ("a.weight=", "ORG.weight=5"),
        ("a.colour=3", "colour"),
        ("a.plan=platinum", "platinum"),
        ("a.weight=0", "greater"),
        ("a.weight=many", "integer"),
        ("a.cap=none", "integer"),
        ("z.weight=3", "no job of z"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        apply({"a": STARTER}, [read_setting(text)])
