"""Prometheus asks every pod that tells metrics, under the names that alerts expect, and is let in."""

import copy
import re
from typing import Any

import jsonschema
import pytest
import yaml

from config.settings import ROOT
from tests.unit.deploy.test_kubernetes import CLASSES, DEPLOYMENTS, container, of_kind

TEXT = {"type": "string", "minLength": 1}


def only(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object with these fields and no others."""
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


def several(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


MATCH = only(
    {"key": TEXT, "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]}}, values=several(TEXT)
)
ENDPOINT = only(
    {"port": TEXT, "path": {"type": "string", "pattern": "^/"}},
    interval={"type": "string", "pattern": r"^\d+s$"},
    authorization=only({"credentials": only({"name": TEXT, "key": TEXT})}, type=TEXT),
    relabelings=several(only({"targetLabel": TEXT, "replacement": TEXT})),
)
SELECTOR = only(
    {}, matchLabels={"type": "object", "additionalProperties": TEXT}, matchExpressions=several(MATCH)
)
SCHEMA = only(
    {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": "PodMonitor"},
        "metadata": only({"name": TEXT, "labels": {"type": "object"}}),
        "spec": only({"selector": SELECTOR, "podMetricsEndpoints": several(ENDPOINT)}),
    }
)
"""Those fields of the operator's own schema (v1) that stand in our files: any other is a slip."""

MONITORS = of_kind("PodMonitor")


def test_every_monitor_follows_the_operators_schema() -> None:
    assert MONITORS.keys() == {"intake", "workers"}
    for monitor in MONITORS.values():
        jsonschema.validate(monitor, SCHEMA)


@pytest.mark.parametrize("field", ["podMetricsEndpoint", "endpoints"])
def test_a_misspelled_field_is_refused(field: str) -> None:
    planted = copy.deepcopy(MONITORS["workers"])
    planted["spec"][field] = planted["spec"].pop("podMetricsEndpoints")
    with pytest.raises(jsonschema.ValidationError, match=field):
        jsonschema.validate(planted, SCHEMA)


def selected(monitor: dict[str, Any]) -> set[str]:
    """Return the deployments whose pods it asks."""
    selector = monitor["spec"]["selector"]
    named = set(selector.get("matchLabels", {}).values())
    for expression in selector.get("matchExpressions", []):
        named |= set(expression["values"])
    return {
        name
        for name, deployment in DEPLOYMENTS.items()
        if deployment["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] in named
    }


def endpoint(monitor: str) -> dict[str, Any]:
    [asked] = MONITORS[monitor]["spec"]["podMetricsEndpoints"]
    return dict(asked)


def test_every_pod_that_tells_metrics_is_asked_once_at_a_port_it_has() -> None:
    asked = [name for monitor in MONITORS.values() for name in selected(monitor)]
    assert sorted(asked) == sorted(DEPLOYMENTS.keys() - {"beat", "flower"})
    for monitor, document in MONITORS.items():
        for name in selected(document):
            assert endpoint(monitor)["port"] in {port["name"] for port in container(name)["ports"]}


def test_jobs_are_named_as_alerts_and_the_scrape_configuration_name_them() -> None:
    named = {
        relabeling["replacement"]
        for monitor in MONITORS
        for relabeling in endpoint(monitor)["relabelings"]
        if relabeling["targetLabel"] == "job"
    }
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text()
    assert named == {config["job_name"] for config in scraped}
    assert named == set(re.findall(r'job="([^"]+)"', alerts))


def test_the_intakes_metrics_are_asked_for_with_the_token_that_the_intake_reads() -> None:
    credentials = endpoint("intake")["authorization"]["credentials"]
    assert credentials["key"] in CLASSES[credentials["name"].removeprefix("genius-")]
    assert "authorization" not in endpoint("workers"), "a worker knows no token"


def test_prometheus_is_let_in_at_the_ports_it_asks() -> None:
    [let_in] = of_kind("NetworkPolicy")["metrics"]["spec"]["ingress"]
    assert {endpoint(monitor)["port"] for monitor in MONITORS} <= {port["port"] for port in let_in["ports"]}
