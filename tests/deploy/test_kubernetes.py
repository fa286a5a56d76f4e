"""The manifests of deploy/kuberay against the schemas of Kubernetes 1.34 and of KubeRay's RayCluster.

`kubernetes.json` is cut from kubeconform's strict schemas and from KubeRay's definition of a RayCluster: of what the
manifests use, every property, and of the rest its type. An unknown property is refused.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kuberay"
SCHEMAS: dict[str, Any] = json.loads(Path(__file__).with_name("kubernetes.json").read_text(encoding="utf-8"))
LISTED: dict[str, Any] = YAML(typ="safe").load(FOLDER / "kustomization.yaml")
MANIFESTS: list[dict[str, Any]] = [
    manifest for name in LISTED["resources"] for manifest in YAML(typ="safe").load_all(FOLDER / name)
]
SECRETS = {"losssearch", "ray"}


def called(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] in kinds]


def pods() -> dict[str, dict[str, Any]]:
    found = {called(m): m["spec"]["template"] for m in of_kind("Deployment", "StatefulSet", "Job")}
    (ray,) = of_kind("RayCluster")
    found["ray-head"] = ray["spec"]["headGroupSpec"]["template"]
    found |= {f"ray-{group['groupName']}": group["template"] for group in ray["spec"]["workerGroupSpecs"]}
    return found


PODS = pods()
every_pod = pytest.mark.parametrize("name", PODS)


def problems(manifest: dict[str, Any]) -> list[str]:
    schema = {"$ref": SCHEMAS["kinds"][manifest["kind"]], "definitions": SCHEMAS["definitions"]}
    return [
        f"{list(error.absolute_path)}: {error.message}" for error in Draft202012Validator(schema).iter_errors(manifest)
    ]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=called)
def test_a_manifest_is_valid(manifest: dict[str, Any]) -> None:
    assert problems(manifest) == []


@pytest.mark.parametrize("manifest", MANIFESTS, ids=called)
def test_a_misspelt_property_is_refused(manifest: dict[str, Any]) -> None:
    wrong = copy.deepcopy(manifest) | {"replica": 1}
    assert problems(wrong)


def test_every_file_is_listed() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(LISTED["resources"]) == files


def test_the_cluster_asks_for_a_token_and_the_worker_has_it() -> None:
    (ray,) = of_kind("RayCluster")
    assert ray["spec"]["authOptions"] == {"mode": "token"}
    env = {variable["name"]: variable for variable in PODS["Deployment-worker"]["spec"]["containers"][0]["env"]}
    assert env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": ray["metadata"]["name"], "key": "auth_token"}
    assert env["RAY_HEAD"]["value"] == f"{ray['metadata']['name']}-head-svc:6379"


def test_the_cluster_has_the_pinned_version_of_ray() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    (ray,) = of_kind("RayCluster")
    assert f"\nray=={ray['spec']['rayVersion']}\n" in pinned


@every_pod
def test_a_pod_has_no_privileges_and_writes_only_to_volumes(name: str) -> None:
    spec = PODS[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] >= 999
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False, "its variables could be taken for settings"
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claimed = [claim for m in of_kind("StatefulSet") for claim in m["spec"]["volumeClaimTemplates"]]
        assert mounted <= {volume["name"] for volume in spec["volumes"]} | {c["metadata"]["name"] for c in claimed}


@every_pod
def test_a_pod_takes_secrets_from_a_secret(name: str) -> None:
    for container in PODS[name]["spec"]["containers"]:
        for variable in container.get("env", []):
            if any(word in variable["name"] for word in ("PASSWORD", "TOKEN", "SECRET", "KEY")):
                assert variable["valueFrom"]["secretKeyRef"]["name"] in SECRETS, variable["name"]
            assert "@" not in variable.get("value", "") or "$(" in variable["value"], "a password in clear"


def test_the_secret_has_the_names_of_the_env_file() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    read = {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for pod in PODS.values()
        for container in pod["spec"]["containers"]
        for variable in container.get("env", [])
        if variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == "losssearch"
    }
    assert [key for key in sorted(read) if f"\n{key}=\n" not in example] == []
    assert len(read) >= 8


def test_nothing_is_reached_but_what_a_policy_names() -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in of_kind("NetworkPolicy")}
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    open_to_all = [name for name, spec in policies.items() for rule in spec.get("ingress", []) if "from" not in rule]
    assert open_to_all == ["proxy"]
    assert all("to" in rule for spec in policies.values() for rule in spec.get("egress", []))
    assert _who_reaches(policies["ray"]) == {"ray", "worker"}
    assert _who_reaches(policies["mlflow"]) == {"proxy", "worker"}
    assert _who_reaches(policies["db"]) == {"api", "migrate", "mlflow", "worker"}


def _who_reaches(spec: dict[str, Any]) -> set[str]:
    (rule,) = spec["ingress"]
    (peer,) = rule["from"]
    (expression,) = peer["podSelector"]["matchExpressions"]
    return set(expression["values"])


def test_every_pod_has_a_policy_of_its_own() -> None:
    selected = {
        m["spec"]["podSelector"]["matchLabels"]["app"] for m in of_kind("NetworkPolicy") if m["spec"]["podSelector"]
    }
    assert {pod["metadata"]["labels"]["app"] for pod in PODS.values()} == selected
    assert [
        m["metadata"]["name"] for m in of_kind("Service") if m["spec"].get("type", "ClusterIP") != "ClusterIP"
    ] == []
