"""`statewright rotate-secrets`, beside a running service."""

import json
import secrets
from base64 import b64encode
from collections.abc import Callable

from tests.cli.conftest import Statewright
from tests.support.dev import RunningDev

MANIFEST = """
apiVersion: statewright/v1
kind: Secret
metadata: {name: rotated, version: 1.0.0}
spec: {config: {value: hush}}
"""


def test_secrets_move_to_the_first_key_and_back(
    dev: RunningDev, statewright: Statewright, ok: Callable[..., str]
) -> None:
    ok("apply", "-f", "-", stdin=MANIFEST)
    old = json.loads((dev.data_dir / "secrets.json").read_text())["encryption_key"]
    new = f"k2:{b64encode(secrets.token_bytes(32)).decode()}"

    def rotate(*keys: str) -> str:
        done = statewright(
            "rotate-secrets",
            DATABASE_URL=dev.state["database_url"],
            STATEWRIGHT_SECURITY__ENCRYPTION_KEYS=",".join(keys),
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    try:
        assert not rotate(new, old).startswith("0 ")
        assert rotate(new, old) == "0 secrets encrypted with key 'k2'.\n"
        lost = statewright(
            "rotate-secrets",
            DATABASE_URL=dev.state["database_url"],
            STATEWRIGHT_SECURITY__ENCRYPTION_KEYS=old,
        )
        assert lost.exit_code == 1
        assert "hush" not in lost.output
    finally:
        rotate(old, new)
    assert "unchanged" in ok("apply", "-f", "-", stdin=MANIFEST)
