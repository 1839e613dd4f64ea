"""Keys and passwords with what nobody sees in them are refused where they are written down."""

from pathlib import Path

import httpx
import pytest
import yaml
from pydantic import ValidationError

from app.cli.failures import CommandError
from app.cli.profile import find_profile
from app.settings import Settings
from app.settings.client import ClientSettings
from tests.support.manifests import post, secret, send

PART = "q7q7-not-to-be-shown"
# As a file, a copy or an editor leaves them.
FAULTY = {
    "a line end": f"{PART}\n",
    "a line end of Windows": f"{PART}\r\n",
    "blanks before": f"  {PART}",
    "a tab behind": f"{PART}\t",
    "a mark of byte order": f"\ufeff{PART}",
    "a line within": f"{PART}\nX-Admin: 1",
    "a blank of no width": f"{PART}\u200bx",
    "an escape": f"{PART}\x1b[0m",
    "a blank that does not break": f"{PART}\u00a0",
}
VARIABLES = [
    "STATEWRIGHT_LLM__API_KEY",
    "STATEWRIGHT_SECURITY__SECRET_KEY",
    "STATEWRIGHT_API_KEY",
]


@pytest.mark.parametrize("value", FAULTY.values(), ids=FAULTY)
async def test_a_secret_of_a_manifest_is_refused(client: httpx.AsyncClient, value: str) -> None:
    answer = await send(client, "apply", secret(value=value))

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["loc"] == ["spec", "config", "value"]
    assert PART not in answer.text
    assert (await send(client, "describe/Secret", name="key")).status_code == 404


async def test_a_secret_may_be_of_any_language(client: httpx.AsyncClient) -> None:
    for value in ("pässwörd mit Leerzeichen", "パスワード🙂", "a  b", "%00\\n"):
        await post(client, "apply", secret(value=value))


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("value", FAULTY.values(), ids=FAULTY)
def test_a_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match="must not") as caught:
        ClientSettings() if name == "STATEWRIGHT_API_KEY" else Settings()
    assert PART not in str(caught.value)


def test_an_encryption_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks around the commas are no part of a key."""
    monkeypatch.setenv("STATEWRIGHT_SECURITY__ENCRYPTION_KEYS", f"k1:ok ,\n k2:{PART}\x07")
    with pytest.raises(ValidationError, match="must not") as caught:
        Settings()
    assert PART not in str(caught.value)
    monkeypatch.setenv("STATEWRIGHT_SECURITY__ENCRYPTION_KEYS", f"k1:ok ,\n k2:{PART}\n")
    assert len(Settings().security.encryption_keys) == 2


@pytest.mark.parametrize("value", [*FAULTY.values(), f"{PART}-é"])
def test_a_key_of_a_profile_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "statewright" / "config.yaml"
    file.parent.mkdir()
    for name in ("apiKey", "key", "api_key"):
        one = {"url": "http://127.0.0.1:8000", name: value}
        for document in (one, {"contexts": {"mine": one}, "currentContext": "mine"}):
            file.write_text(yaml.safe_dump(document))
            with pytest.raises(CommandError, match="must") as caught:
                find_profile(ClientSettings())
            assert PART not in str(caught.value)
            assert str(file) in str(caught.value)
