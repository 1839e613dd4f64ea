"""`examples/manifests` by the command line on a real `dev`, as the README shows it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tests.cli.conftest import Statewright
from tests.support.dev import RunningDev, outer_environment
from tests.support.openai_server import OpenAiServer, Reply
from tests.support.raw_server import raw_server, sends

EXAMPLES = Path(__file__).parents[2] / "examples" / "manifests"
README = EXAMPLES.parents[1] / "README.md"
SHOP = {
    "secret/shop-key",
    "apiconnection/shop-api",
    "tool/find-order",
    "provider/shop-model",
    "flow/shop-desk",
    "agent/shop-assistant",
    "agent/copywriter",
}
Ok = Callable[..., str]


def operations(output: str) -> dict[str, str]:
    """What an apply says it did, by resource."""
    return dict(line.split(" ", 1) for line in output.splitlines())


@pytest.mark.slow
def test_the_readme_s_lines_work_beside_a_running_dev(dev: RunningDev, tmp_path: Path) -> None:
    section = README.read_text().partition("## Everything is a file\n")[2].partition("\n## ")[0]
    code = section.partition("```sh\n")[2].partition("```")[0]
    (tmp_path / "examples").symlink_to(EXAMPLES.parent)
    (tmp_path / ".statewright").symlink_to(dev.data_dir)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"

    done = subprocess.run(
        ["sh", "-ec", code],
        env=outer_environment({"PATH": path, "XDG_CONFIG_HOME": str(tmp_path)}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert code.count("statewright ") >= 7
    assert "agent/copywriter " in done.stdout
    assert "You said: Describe this product: a red kettle" in done.stdout
    assert "You said: When do you open?" in done.stdout
    assert "roboto_turn → user_turn" in done.stdout
    assert re.search("^Kind: +Flow$", done.stdout, re.MULTILINE)


def test_the_folder_applies_as_a_whole_and_is_unchanged_then(ok: Ok) -> None:
    first = operations(ok("apply", "-f", str(EXAMPLES)))
    again = operations(ok("apply", "-f", str(EXAMPLES)))

    assert set(first) == SHOP
    assert again == dict.fromkeys(SHOP, "unchanged")
    assert ok("diff", "-f", str(EXAMPLES)) == ""


def test_what_get_prints_as_yaml_applies_unchanged(ok: Ok) -> None:
    ok("apply", "-f", str(EXAMPLES))
    for kind in ("secrets", "apiconnections", "providers", "flows", "agents"):
        manifests = ok("get", kind, "-o", "yaml")

        assert set(operations(ok("apply", "-f", "-", stdin=manifests)).values()) == {"unchanged"}


async def test_the_assistant_asks_the_api_and_the_model_of_the_shop(ok: Ok, tmp_path: Path) -> None:
    found = b'{"order": 7, "status": "on its way"}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(found), found)
    folder = tmp_path / "manifests"
    shutil.copytree(EXAMPLES, folder)
    async with (
        raw_server(sends(answer)) as (port, requests),
        OpenAiServer(Reply("It is on its way.")) as model,
    ):
        _replace(
            folder / "connections" / "shop-api.yaml",
            "https://shop.example.com/api",
            f"http://127.0.0.1:{port}/api",
        )
        _replace(
            folder / "connections" / "shop-model.yaml",
            "https://models.example.com/v1",
            model.base_url,
        )
        _replace(
            folder / "connections" / "shop-key.yaml",
            "[shop.example.com, models.example.com]",
            "[http://127.0.0.1]",
        )
        await anyio.to_thread.run_sync(lambda: ok("apply", "-f", str(folder)))
        said = await anyio.to_thread.run_sync(
            lambda: ok("prompt", "shop-assistant", "Where is order 7?")
        )

    assert said == "It is on its way.\n"
    [request] = requests
    assert request.startswith(b"POST /api/orders/search HTTP/1.1\r\n")
    assert b"change-me" in request
    assert request.endswith(b'{"question": "Where is order 7?"}')
    assert "on its way" in json.dumps(model.requests[0].body)
    assert model.requests[0].headers["authorization"] == "Bearer change-me"


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("kind", ["agent", "flow", "provider", "secret", "apiconnection"])
def test_examples_of_every_kind_apply_as_they_are(
    ok: Ok, statewright: Statewright, kind: str
) -> None:
    manifest = ok("manifest", kind)
    ok("delete", "-f", "-", "--ignore-not-found", stdin=manifest)

    assert statewright("diff", "-f", "-", stdin=manifest).exit_code == 1
    name, operation = next(iter(operations(ok("apply", "-f", "-", stdin=manifest)).items()))
    assert operation == "created"
    assert json.loads(ok("schema", kind))["title"].lower() == kind
    assert ok("delete", "-f", "-", stdin=manifest).lower() == f"{name} deleted\n"
