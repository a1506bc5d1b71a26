"""The compose file and the image, read as text: nothing published by accident, no password inside, nothing unpinned."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from schedsearch.cli import cli

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|PGPASS", re.IGNORECASE)
WORKER_GRACE_S = 10

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def option(service: str, name: str) -> str:
    found = [one for one in SERVICES[service]["command"] if one.startswith(f"{name}=")]
    assert len(found) == 1, f"{service} must give {name} once"
    return str(found[0].partition("=")[2])


@each_service
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_the_database_is_not_published() -> None:
    assert "ports" not in SERVICES["db"]
    assert "ports" in SERVICES["mlflow"]


@each_service
def test_no_password_stands_in_the_file(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        if SECRET_NAME.search(key):
            assert key.endswith("_FILE") or re.fullmatch(r"\$\{\w+:\?.+\}", str(value)), key
    assert not re.search(r"://[^/\s@]*:[^/\s@]*@", str(SERVICES[name]))


def test_the_password_comes_from_the_environment_of_who_starts_it() -> None:
    assert COMPOSE["secrets"] == {"db_password": {"environment": "SCHEDSEARCH_DB_PASSWORD"}}
    assert all("db_password" in service["secrets"] for service in SERVICES.values())


@each_service
def test_images_are_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert re.fullmatch(r"\d+\.\d+[\w.-]*", tag)


def test_the_images_of_the_dockerfile_are_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)


@each_service
def test_nothing_runs_as_root(name: str) -> None:
    assert str(SERVICES[name]["user"]).partition(":")[0] not in ("", "0", "root")


def test_the_image_does_not_run_as_root() -> None:
    users = re.findall(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert users == ["10001"]


@pytest.mark.parametrize("name", ["db", "mlflow"])
def test_servers_say_when_they_are_healthy(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize(("name", "needs"), [("mlflow", {"db"}), ("worker", {"db"}), ("schedsearch", {"db", "mlflow"})])
def test_services_wait_for_what_they_need(name: str, needs: set[str]) -> None:
    assert SERVICES[name]["depends_on"] == {one: {"condition": "service_healthy"} for one in needs}


@pytest.mark.parametrize("name", ["worker", "schedsearch"])
def test_workers_get_the_time_to_hand_their_run_back(name: str) -> None:
    assert seconds(SERVICES[name]["stop_grace_period"]) >= 3 * WORKER_GRACE_S


def test_mlflow_lets_the_workers_in_by_its_service_name_and_nobody_else() -> None:
    hosts = option("mlflow", "--allowed-hosts").split(",")
    assert {"mlflow", "mlflow:*", "localhost", "localhost:*", "127.0.0.1:*"} == set(hosts)
    assert "http://mlflow:5000/api" in str(SERVICES["mlflow"]["healthcheck"]["test"])


def test_mlflow_has_a_database_of_its_own() -> None:
    mine, its = option("worker", "--storage"), option("mlflow", "--backend-store-uri")
    assert mine.rpartition("/")[2] == SERVICES["db"]["environment"]["POSTGRES_DB"] != its.rpartition("/")[2]
    assert COMPOSE["configs"]["mlflow_database"]["content"] == f"create database {its.rpartition('/')[2]};"


def test_mlflow_runs_small_and_quiet() -> None:
    assert option("mlflow", "--workers") == "1"
    environment = SERVICES["mlflow"]["environment"]
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.parametrize("name", ["docker-compose.yml", "Dockerfile", "Makefile", ".ci/run", "CONTRIBUTING.md"])
def test_the_host_check_is_never_switched_off(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "disable-security-middleware" not in text
    assert not re.search(r"allowed-hosts[= ]['\"]?\*", text)


def test_the_worker_uses_options_that_the_command_line_has() -> None:
    program, verb, *options = SERVICES["worker"]["command"]
    known = {opt for one in cli.commands[verb].params for opt in one.opts}
    assert program == "schedsearch"
    assert {one.partition("=")[0] for one in options} <= known


def test_the_image_takes_what_the_wheel_is_made_of() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for needed in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "schedsearch", "search_spaces", "db"):
        assert f"!{needed}" in ignored
    assert "*" in ignored


def test_the_kubernetes_manifest_runs_our_worker_with_its_url_from_a_secret() -> None:
    (manifest,) = list(yaml.safe_load_all((ROOT / "docs" / "kubernetes.yaml").read_text()))
    pod = manifest["spec"]["template"]["spec"]
    (worker,) = pod["containers"]
    program, verb, *given = worker["command"]
    assert program == "schedsearch"
    command = cli.commands[verb]
    known = {name for parameter in command.params for name in parameter.opts}
    assert {one for one in given if one.startswith("--")} <= known
    (storage,) = worker["env"]
    assert storage["name"] == "SCHEDSEARCH_STORAGE"
    assert "secretKeyRef" in storage["valueFrom"]
    assert pod["terminationGracePeriodSeconds"] > WORKER_GRACE_S
    assert worker["securityContext"]["runAsUser"] == 10001
    (mount,) = worker["volumeMounts"]
    assert mount["mountPath"] == given[given.index("--checkpoints") + 1]
