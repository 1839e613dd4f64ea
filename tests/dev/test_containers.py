"""The image and the composition, as far as can be checked without a Docker engine."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI
from typer.main import get_command

from app.cli import app as cli
from app.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def instruction(name: str) -> str:
    """What the last instruction of this name says."""
    found: list[str] = re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)
    return found[-1]


def test_every_command_exists() -> None:
    commands = set(get_command(cli).commands)  # type: ignore[attr-defined]  # a click group

    assert json.loads(instruction("ENTRYPOINT")) == ["statewright"]
    assert set(json.loads(instruction("CMD"))) <= commands
    assert {service["command"][0] for service in OURS.values()} == {"migrate", "api", "worker"}
    assert {service["command"][0] for service in OURS.values()} <= commands


def test_the_image_runs_as_an_ordinary_user_and_embeds_nothing() -> None:
    assert instruction("USER") == "statewright"
    assert "embedded" not in DOCKERFILE
    assert "--frozen" in DOCKERFILE


def test_the_health_check_asks_an_address_that_exists(shared_api: FastAPI) -> None:
    path = re.search(r"/health/\w+", instruction("HEALTHCHECK"))
    assert path
    assert path[0] in shared_api.openapi()["paths"]
    compile(json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])[2], "check", "exec")


def test_what_the_image_is_built_from_exists_and_is_sent_to_the_builder() -> None:
    sent = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == sent
    assert all((ROOT / source).exists() for source in copied)


def test_the_environment_sets_what_the_settings_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in OURS.values():
        for name in service["environment"]:
            value = "1" if service["environment"][name] is None else f"from {name}"
            monkeypatch.setenv(name, value)
    read = Settings()

    assert (read.database_url, read.redis_url) == ("from DATABASE_URL", "from REDIS_URL")
    assert read.security.model_fields_set == {"secret_key", "encryption_keys"}
    assert read.llm.model_fields_set == {"provider", "base_url", "model", "api_key"}


def test_nothing_starts_before_what_it_needs() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in SERVICES[needed]["healthcheck"], (name, needed)
            else:
                assert SERVICES[needed]["command"] == ["migrate"], (name, needed)
    assert set(OURS["api"]["depends_on"]) == set(OURS["worker"]["depends_on"])


def test_every_foreign_image_has_a_version() -> None:
    images = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    assert all(":" in image and not image.endswith(":latest") for image in images)
