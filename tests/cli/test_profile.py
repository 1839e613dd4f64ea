"""Which service a command speaks to, and with which key."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Result, Statewright
from tests.support.dev import RunningDev

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def profile_file(dev: RunningDev, tmp_path: Path) -> Path:
    file = tmp_path / "config" / "statewright" / "config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f"url: {dev.state['base_url']}/\napiKey: {dev.state['api_key']}\n")
    return file


def nameless(statewright: Statewright, *words: str, **environment: str | None) -> Result:
    """With an environment that names no service."""
    unset = {"STATEWRIGHT_URL": None, "STATEWRIGHT_API_KEY": None}
    return statewright(*words, **{**unset, **environment})


def test_with_nothing_named_it_says_what_to_do(statewright: Statewright) -> None:
    done = nameless(statewright, "status")

    assert done.exit_code == 1
    assert "STATEWRIGHT_URL" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert nameless(statewright, "version").exit_code == 0


def test_a_profile_file_names_service_and_key(statewright: Statewright, profile_file: Path) -> None:
    assert nameless(statewright, "whoami").exit_code == 0


def test_the_key_of_a_file_goes_to_no_other_service(
    statewright: Statewright, profile_file: Path, dev: RunningDev
) -> None:
    other = dev.state["base_url"].replace("127.0.0.1", "localhost")

    done = nameless(statewright, "whoami", STATEWRIGHT_URL=other)

    assert done.exit_code == 1
    assert "API key" in done.stderr


def test_the_environment_goes_first(statewright: Statewright, profile_file: Path) -> None:
    assert "cannot be reached" in statewright("status", STATEWRIGHT_URL=NOWHERE).stderr
    assert "API key" in statewright("status", STATEWRIGHT_API_KEY="swk_wrong").stderr


def test_a_dev_in_the_directory_is_found(
    statewright: Statewright, dev: RunningDev, tmp_path: Path
) -> None:
    (tmp_path / ".statewright").symlink_to(dev.data_dir)

    assert nameless(statewright, "whoami").exit_code == 0


def test_a_directory_cannot_send_keys_away(statewright: Statewright, tmp_path: Path) -> None:
    (tmp_path / ".statewright").mkdir()
    state = {"base_url": "http://192.0.2.1", "api_key": "swk_x"}
    (tmp_path / ".statewright" / "dev.json").write_text(json.dumps(state))

    done = nameless(statewright, "status", STATEWRIGHT_API_KEY="swk_mine")

    assert done.exit_code == 1
    assert "Which service?" in done.stderr


@pytest.mark.parametrize("content", ["[", "- 1", "apiKey: swk_secret", "", "url: [swk_secret]"])
def test_a_damaged_profile_is_named_without_what_is_in_it(
    statewright: Statewright, profile_file: Path, content: str
) -> None:
    profile_file.write_text(content)

    done = nameless(statewright, "status")

    assert done.exit_code == 1
    assert str(profile_file) in done.stderr
    assert "swk_secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8000", "http://", "http://x:0", "http://[x"])
def test_an_address_that_is_none(statewright: Statewright, url: str) -> None:
    done = statewright("status", STATEWRIGHT_URL=url)

    assert done.exit_code == 1
    assert "is no address" in done.stderr
