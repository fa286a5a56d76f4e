"""What docker-compose.yml promises: one door on loopback, no secret in clear, nothing that writes where it need not."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = YAML(typ="safe").load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
SECRETS = re.findall(r"^([A-Z_]+)=$", EXAMPLE, re.MULTILINE)
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|KEY|DATABASE_URL|STORAGE_URL")

every_service = pytest.mark.parametrize("name", SERVICES)


def values(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in (service.get("environment") or {}).items()}


def test_the_services_are_those_of_the_plan() -> None:
    expected = "db migrate mlflow ray-head ray-worker ray-worker-gpu api worker proxy"
    assert list(SERVICES) == expected.split()


def test_one_port_is_published_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"proxy": ["${LOSSSEARCH_BIND:-127.0.0.1}:${LOSSSEARCH_PORT:-8080}:8080"]}
    assert not [name for name, service in SERVICES.items() if "network_mode" in service or "privileged" in service]


def test_only_the_proxy_is_on_the_network_that_is_reached_from_outside() -> None:
    assert COMPOSE["networks"] == {"front": None, "back": {"internal": True}}
    on_front = [name for name, service in SERVICES.items() if "front" in service["networks"]]
    assert on_front == ["proxy"]
    assert all("back" in service["networks"] for service in SERVICES.values())


@every_service
def test_a_container_is_read_only_without_privileges_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]
    assert service["restart"] in {"unless-stopped", "on-failure"}
    assert all(not source.startswith("/") for source in service.get("volumes", [])), "the host's own folders"


@every_service
def test_a_container_does_not_run_as_root(name: str) -> None:
    # PostgreSQL's image starts as root to take over its volume, and becomes `postgres`.
    assert SERVICES[name].get("user") == (None if name == "db" else "10001:10001")
    assert ("cap_add" in SERVICES[name]) == (name == "db")


@every_service
def test_a_container_has_a_health_check_and_waits_for_what_it_needs(name: str) -> None:
    service = SERVICES[name]
    if name == "migrate":  # it ends, and the others wait for its success
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"]
        assert service["healthcheck"]["retries"] * _seconds(service["healthcheck"]["interval"]) >= 60
    waits = {other: what["condition"] for other, what in service.get("depends_on", {}).items()}
    expected = {other: f"service_{'completed_successfully' if other == 'migrate' else 'healthy'}" for other in waits}
    assert waits == expected
    assert ("migrate" in waits) == (name in {"api", "worker"})


def _seconds(text: str) -> int:
    assert text.endswith("s"), text
    return int(text[:-1])


@every_service
def test_no_secret_is_in_clear(name: str) -> None:
    for variable, value in values(SERVICES[name]).items():
        if SECRET_NAME.search(variable) and not variable.endswith("_FILE"):
            assert re.search(r"\$\{[A-Z_]+:\?[^}]*\}", value), f"{variable} must come from .env and stop without it"
    command = " ".join(map(str, SERVICES[name].get("command", [])))
    assert not SECRET_NAME.search(command), "a command line is seen by every process"


def test_the_example_names_every_setting_and_holds_no_secret() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", TEXT))
    named = set(re.findall(r"^#? ?([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert used == named
    required = set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))
    assert set(SECRETS) == required


def test_rays_nodes_have_the_token_and_no_other_secret() -> None:
    nodes = {name: set(values(service)) for name, service in SERVICES.items() if "node" in str(service.get("command"))}
    assert set(nodes) == {"ray-head", "ray-worker", "ray-worker-gpu", "worker"}
    assert all("RAY_AUTH_TOKEN" in variables for variables in nodes.values())
    assert {name: variables for name, variables in nodes.items() if name.startswith("ray-")} == {
        "ray-head": {"RAY_AUTH_TOKEN"},
        "ray-worker": {"RAY_AUTH_TOKEN", "RAY_CPUS"},
        "ray-worker-gpu": {"RAY_AUTH_TOKEN", "RAY_CPUS"},
    }


def test_the_worker_is_given_time_to_give_its_studies_back() -> None:
    assert SERVICES["worker"]["stop_grace_period"] == "60s"


def test_the_gpu_worker_starts_only_where_it_is_asked_for() -> None:
    gpu = SERVICES["ray-worker-gpu"]
    assert gpu["profiles"] == ["gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["ray-worker-gpu"]


def test_one_image_holds_all_parts_that_are_ours() -> None:
    ours = {service["image"] for service in SERVICES.values() if service["image"].startswith("losssearch")}
    assert len(ours) == 1
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]
    assert {s["image"] for s in SERVICES.values()} - ours == {"postgres:17-bookworm", "nginx:stable-bookworm"}


def test_the_dockerfile_runs_as_nobody_on_a_named_base_and_the_legacy_builder() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE) == ["python:3.11-slim-bookworm"]
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert "--mount" not in text
    assert "<<" not in text


def test_nothing_but_the_code_reaches_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    named = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert all((ROOT / name).exists() for name in named)
    assert not [name for name in named if name.startswith(".")]


def make_env(folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / ".env.example").write_text(EXAMPLE, encoding="utf-8")
    return subprocess.run([ROOT / "deploy" / "make-env", folder], capture_output=True, text=True, check=False)


def test_make_env_writes_secrets_that_nobody_else_reads(tmp_path: Path) -> None:
    assert make_env(tmp_path).returncode == 0
    path = tmp_path / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = path.read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    secrets = [given[name] for name in SECRETS]
    assert all(re.fullmatch(r"[0-9a-f]{64}", secret) for secret in secrets)
    assert len(set(secrets)) == len(secrets) >= 8
    assert given["LOSSSEARCH_PORT"] == "8080"
    assert [path.name for path in tmp_path.iterdir() if path.name not in {".env", ".env.example"}] == []


def test_make_env_keeps_the_secrets_that_are_there(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=kept\n", encoding="utf-8")
    done = make_env(tmp_path)
    assert done.returncode == 1
    assert (tmp_path / ".env").read_text(encoding="utf-8") == "POSTGRES_PASSWORD=kept\n"
    assert "RAY_AUTH_TOKEN" in done.stderr
    assert "POSTGRES_PASSWORD" not in done.stderr
    assert "make env" in TEXT
