"""Alerts and dashboards, as files: they parse, and each alert has a runbook entry and each entry an alert."""

import json
import re
from typing import Any

import promql_parser
import pytest
import yaml

from config.settings import ROOT

RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
DASHBOARDS = {
    path.stem: json.loads(path.read_text()) for path in (ROOT / "deploy" / "grafana").glob("*.json")
}
PANELS: list[tuple[str, Any]] = [
    (f"{name}: {panel['title']}", panel) for name, board in DASHBOARDS.items() for panel in board["panels"]
]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_is_whole(rule: dict[str, Any]) -> None:
    promql_parser.parse(rule["expr"])
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    promql_parser.parse_duration(rule.get("for", "1m"))
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"
    assert rule["annotations"]["summary"]


def test_every_alert_has_a_runbook_entry_and_every_entry_an_alert() -> None:
    entries = re.findall(r"^## (\w+)\n(\S.*)", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)
    names = [rule["alert"] for rule in ALERTS]
    assert sorted(name for name, _ in entries) == sorted(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("title", "panel"), PANELS, ids=[title for title, _ in PANELS])
def test_every_panel_asks_for_something_that_parses(title: str, panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        promql_parser.parse(target["expr"])


def test_dashboards_can_stand_beside_each_other() -> None:
    assert len({board["uid"] for board in DASHBOARDS.values()}) == len(DASHBOARDS) == 4
    for board in DASHBOARDS.values():
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
