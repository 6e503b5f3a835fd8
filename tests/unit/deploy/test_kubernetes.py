"""The manifests are valid, confine every pod, run what the compose file runs, and grow by what we measure."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config.celery import LANES
from config.settings import ROOT, Settings
from intake.lane_metrics import OF_LANE, OF_PLAN
from tests.support.compose import (
    BESIDE_SETTINGS,
    PRIVILEGED,
    REQUIRED,
    SETTINGS,
    compose,
    lanes_of,
    made_secrets,
    ours,
)
from worker.metrics.ended import REGISTRY

MANIFESTS = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = "kustomization.yaml"
VERSIONS = ("1.34", "1.37")
CLASSES = {
    "application": REQUIRED | {"GENIUS_RETIRED_CREDENTIAL_SECRETS", "GENIUS_SOCIAL_CLIENTS"},
    "relay": {"GENIUS_RELAY_DATABASE_URL"},
    "owner": PRIVILEGED,
    "metrics": {"GENIUS_METRICS_TOKEN"},
    "mail": {"GENIUS_SMTP_PASSWORD"},
    "operators": {"GENIUS_FLOWER_USERS"},
}
"""What each Secret `genius-<name>` holds; docs/deployment.md makes them so."""


def documents() -> list[tuple[str, dict[str, Any]]]:
    """Return every object, with the file it stands in."""
    return [
        (str(file.relative_to(MANIFESTS)), document)
        for file in sorted(MANIFESTS.rglob("*.yaml"))
        if file.name != KUSTOMIZATION
        for document in yaml.safe_load_all(file.read_text())
    ]


OBJECTS = documents()


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {document["metadata"]["name"]: document for _, document in OBJECTS if document.get("kind") == kind}


DEPLOYMENTS = of_kind("Deployment")
PODS = {
    name: document["spec"]["template"]["spec"] for name, document in (DEPLOYMENTS | of_kind("Job")).items()
}
SERVICES = ours(compose()["services"])
SETTINGS_GIVEN = of_kind("ConfigMap")["genius-settings"]["data"]

every_pod = pytest.mark.parametrize("name", sorted(PODS))
every_deployment = pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
every_deployment_but_flower = pytest.mark.parametrize("name", sorted(DEPLOYMENTS.keys() - {"flower"}))


def container(name: str) -> dict[str, Any]:
    [only] = PODS[name]["containers"]
    return dict(only)


def secrets_of(name: str) -> set[str]:
    sources = [
        source["secret"]["name"].removeprefix("genius-")
        for volume in PODS[name]["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
    ]
    return {variable for source in sources for variable in CLASSES[source]}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_follows_the_schemas_of_kubernetes(version: str) -> None:
    for file, document in OBJECTS:
        if document["kind"] == "PodMonitor":
            continue  # not Kubernetes' own: test_pod_monitors.py
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{file}: {error.message}")


def test_a_misspelled_field_is_refused() -> None:
    planted = yaml.safe_load(yaml.safe_dump(DEPLOYMENTS["beat"]))
    planted["spec"]["template"]["spec"]["terminationGraceSeconds"] = 1
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGraceSeconds"):
        kubernetes_validate.validate(planted, VERSIONS[0], strict=True)


def test_every_file_is_part_of_a_kustomization() -> None:
    listed = set()
    for file in MANIFESTS.rglob(KUSTOMIZATION):
        for resource in yaml.safe_load(file.read_text())["resources"]:
            listed.add((file.parent / resource).resolve())
    files = {file for file in MANIFESTS.rglob("*.yaml") if file.name != KUSTOMIZATION}
    assert {path for path in listed if path.is_file()} == files
    assert [path for path in listed if not path.exists()] == []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="NO KUBECTL: its own build did not run")
@pytest.mark.parametrize("folder", ["migrate", "base"])
def test_kubectl_builds_them(folder: str) -> None:
    built = subprocess.run(  # noqa: S603 - our own files
        [shutil.which("kubectl") or "", "kustomize", MANIFESTS / folder],
        capture_output=True,
        text=True,
        check=True,
    )
    for document in yaml.safe_load_all(built.stdout):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
        for pod in [document["spec"]["template"]["spec"]] if "template" in document.get("spec", {}) else []:
            assert pod["containers"][0]["image"].startswith("registry.example.com/marketing-genius:")


@every_pod
def test_a_pod_is_confined(name: str) -> None:
    pod, inside = PODS[name], container(name)["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == int(SERVICES["intake"]["user"].split(":")[0])
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert inside == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@every_pod
def test_a_pod_asks_for_what_it_needs_and_is_limited_in_memory(name: str) -> None:
    resources = container(name)["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert "memory" in resources["limits"]


@every_pod
def test_a_pod_runs_what_the_compose_file_runs(name: str) -> None:
    composed = [part.replace("$$", "$") for part in SERVICES[name]["command"]]
    assert container(name)["command"] == composed


@every_pod
def test_a_pod_reads_the_secrets_that_the_compose_file_gives(name: str) -> None:
    assert secrets_of(name) >= set(SERVICES[name]["secrets"])
    assert name == "migrate" or not PRIVILEGED & secrets_of(name)
    mounts = {mount["name"]: mount for mount in container(name)["volumeMounts"]}
    assert mounts["secrets"]["mountPath"] == SETTINGS_GIVEN["GENIUS_SECRETS_DIRECTORY"]


def test_every_secret_is_one_that_the_script_makes(tmp_path: Path) -> None:
    made = made_secrets(tmp_path)
    assert {variable for names in CLASSES.values() for variable in names} <= made.keys()


def test_every_setting_given_is_one_there_is() -> None:
    assert SETTINGS_GIVEN.keys() <= SETTINGS | BESIDE_SETTINGS
    assert not SETTINGS_GIVEN.keys() & REQUIRED


@every_deployment
def test_a_pod_has_longer_to_end_than_a_worker_takes(name: str) -> None:
    deadline = float(SETTINGS_GIVEN["GENIUS_SHUTDOWN_DEADLINE"])
    assert deadline == Settings.model_fields["shutdown_deadline"].default.total_seconds()
    assert PODS[name]["terminationGracePeriodSeconds"] >= deadline + 5


@every_deployment
def test_a_pod_is_probed(name: str) -> None:
    probes = container(name)
    assert "livenessProbe" in probes
    assert {"startupProbe", "readinessProbe"} & probes.keys()
    composed = " ".join(SERVICES[name]["healthcheck"]["test"][1:])
    for probe in ("startupProbe", "livenessProbe"):
        if "exec" in probes.get(probe, {}):
            assert " ".join(probes[probe]["exec"]["command"]) == composed


@every_deployment_but_flower
def test_an_upgrade_brings_new_pods_before_old_ones_go(name: str) -> None:
    assert DEPLOYMENTS[name]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@every_deployment_but_flower
def test_a_drained_node_takes_few_pods_at_once(name: str) -> None:
    budget = of_kind("PodDisruptionBudget")[name]["spec"]
    labels = DEPLOYMENTS[name]["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert budget["maxUnavailable"] in {1, "25%"}


def test_every_lane_is_served_and_grows_by_its_own_age_and_demand() -> None:
    workers = {name: container(name)["command"] for name in DEPLOYMENTS if name.startswith("worker-")}
    assert sorted(lanes_of(workers.values())) == sorted(LANES)
    for name, command in workers.items():
        scaler = of_kind("HorizontalPodAutoscaler")[name]["spec"]
        assert scaler["scaleTargetRef"]["name"] == name
        external = [metric["external"]["metric"] for metric in scaler["metrics"]]
        for measured in ("genius_lane_oldest_seconds", "genius_lane_demand_seconds"):
            lanes = [
                metric["selector"]["matchLabels"]["lane"] for metric in external if metric["name"] == measured
            ]
            assert lanes == lanes_of([command])


def test_what_it_grows_by_is_measured() -> None:
    rules = yaml.safe_load((ROOT / "deploy/monitoring/prometheus-adapter.yml").read_text())["rules"][
        "external"
    ]
    asked = {
        metric["external"]["metric"]["name"]
        for scaler in of_kind("HorizontalPodAutoscaler").values()
        for metric in scaler["spec"]["metrics"]
        if metric["type"] == "External"
    }
    assert asked == {rule["name"]["as"] for rule in rules}
    suffixes = {"counter": "_total", "histogram": "_count"}
    measured = {name for name, _ in (OF_LANE | OF_PLAN).values()}
    measured |= {metric.name + suffixes.get(metric.type, "") for metric in REGISTRY.collect()}
    used = {name for rule in rules for name in re.findall(r"genius_[a-z_]+", rule["metricsQuery"])}
    assert used - measured == set()


def test_what_grows_states_no_number_of_pods() -> None:
    grows = of_kind("HorizontalPodAutoscaler")
    for name, deployment in DEPLOYMENTS.items():
        assert ("replicas" in deployment["spec"]) != (name in grows)


def test_nothing_passes_between_pods_but_what_is_named() -> None:
    nothing = of_kind("NetworkPolicy")["nothing"]["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    labels = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in DEPLOYMENTS.items()}
    [internet] = of_kind("NetworkPolicy")["internet"]["spec"]["podSelector"]["matchExpressions"]
    assert set(internet["values"]) < {label["app.kubernetes.io/component"] for label in labels.values()}
    excepted = of_kind("NetworkPolicy")["internet"]["spec"]["egress"][0]["to"][0]["ipBlock"]["except"]
    assert "169.254.0.0/16" in excepted, "the metadata service of a cloud"
