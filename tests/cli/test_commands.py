"""What the commands do, print and refuse."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from tests.cli.conftest import Statewright
from tests.support.dev import RunningDev
from tests.support.openai_server import OpenAiServer, Reply
from tests.support.providers import load_provider
from tests.support.raw_server import raw_server, sends

Ok = Callable[..., str]


def manifest(name: str, kind: str = "Dataset", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "statewright/v1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": {},
    }


def as_text(*documents: dict[str, Any]) -> str:
    return yaml.safe_dump_all(documents)


@pytest.fixture
def bad_folder(tmp_path: Path) -> Path:
    """Three good documents in two files, and a bad one below; a hidden one too."""
    folder = tmp_path / "set"
    (folder / "sub" / ".git").mkdir(parents=True)
    (folder / "a.yaml").write_text(as_text(manifest("one"), manifest("two")))
    (folder / "sub" / "b.json").write_text(
        '{"apiVersion": "statewright/v1", "kind": "Dataset", "metadata": {"name": "NOT a name"}}'
    )
    (folder / "sub" / "notes.txt").write_text("[")
    (folder / "sub" / ".git" / "c.yaml").write_text("[")
    return folder


def test_one_bad_file_of_a_folder_is_named_and_nothing_is_applied(
    statewright: Statewright, bad_folder: Path
) -> None:
    refused = statewright("apply", "-f", str(bad_folder))

    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"statewright: {bad_folder}/sub/b.json: metadata.name: ")
    assert len(refused.stderr.splitlines()) == 1
    assert statewright("get", "dataset/one").exit_code == 1


def test_a_file_that_is_no_yaml_is_named_with_line_and_column(
    statewright: Statewright, tmp_path: Path
) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\na: 2\n")

    refused = statewright("apply", "-f", "x.yaml")

    assert refused.exit_code == 1
    assert "x.yaml" in refused.stderr
    assert "line 2, column 1" in refused.stderr


@pytest.mark.parametrize("files", [["nowhere.yaml"], ["."], []])
def test_nothing_to_apply_is_an_error(statewright: Statewright, files: list[str]) -> None:
    named = [word for file in files for word in ("-f", file)]

    assert statewright("apply", *named).exit_code in (1, 2)


async def test_manifests_at_an_address(ok: Ok, statewright: Statewright) -> None:
    text = as_text(manifest("fetched")).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
    async with raw_server(sends(answer)) as (port, _):
        url = f"http://127.0.0.1:{port}/fetched.yaml"
        output = await anyio.to_thread.run_sync(lambda: ok("apply", "-f", url, "--dry-run"))
    refused = await anyio.to_thread.run_sync(lambda: statewright("apply", "-f", url))

    assert output == "dataset/fetched created (dry run)\n"
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"statewright: {url}: ")
    assert len(refused.stderr.splitlines()) == 1


def test_warnings_of_a_flow_are_shown(statewright: Statewright) -> None:
    states = {"a": {"initial": True, "transitions": [{"event": "go", "target": "a"}]}, "b": {}}
    spec = {"statechart": {"states": states}, "templates": {"a": "x", "b": "y"}}

    done = statewright(
        "apply", "-f", "-", stdin=as_text(manifest("warned", "Flow") | {"spec": spec})
    )

    assert done.stdout == "flow/warned created\n"
    assert "Warning: flow/warned: spec.statechart.states.b: " in done.stderr


def test_a_dry_run_tells_and_changes_nothing(ok: Ok, statewright: Statewright) -> None:
    output = ok("apply", "-f", "-", "--dry-run", stdin=as_text(manifest("dry")))

    assert output == "dataset/dry created (dry run)\n"
    assert statewright("get", "dataset", "dry").exit_code == 1


def test_diff_shows_the_lines_and_tells_by_its_exit_code(ok: Ok, statewright: Statewright) -> None:
    ok("apply", "-f", "-", stdin=as_text(manifest("differs", description="before")))
    changed = as_text(manifest("differs", description="after"))

    different = statewright("diff", "-f", "-", stdin=changed)
    failed = statewright("diff", "-f", "-", stdin="kind: Nothing")

    assert different.exit_code == 1
    assert different.stdout.splitlines() == [
        *("--- dataset/differs", "+++ dataset/differs"),
        *("@@ /metadata/description @@", "- before", "+ after"),
    ]
    assert failed.exit_code == 2
    assert ok("apply", "-f", "-", stdin=changed) == "dataset/differs configured\n"
    assert ok("diff", "-f", "-", stdin=changed) == ""


def test_a_diff_never_shows_a_secret(ok: Ok, statewright: Statewright) -> None:
    secret = manifest("hidden", "Secret") | {"spec": {"config": {"value": "first-value"}}}
    ok("apply", "-f", "-", stdin=as_text(secret))
    secret["spec"] = {"config": {"value": "second-value"}}

    different = statewright("diff", "-f", "-", stdin=as_text(secret))

    assert different.exit_code == 1
    assert "value" in different.stdout
    assert "first-value" not in different.output
    assert "second-value" not in different.output


@pytest.mark.parametrize("command", ["apply", "diff", "delete"])
def test_an_empty_file_name_is_not_the_current_directory(
    ok: Ok, statewright: Statewright, command: str
) -> None:
    text = as_text(manifest("here"))
    Path("here.yaml").write_text(text)
    ok("apply", "-f", "here.yaml")

    refused = statewright(command, "-f", "")

    assert refused.exit_code == (2 if command == "diff" else 1)
    assert refused.stderr.startswith("statewright: -f has an empty value")
    assert ok("get", "dataset/here", "-o", "name") == "dataset/here\n"


def test_prune_deletes_what_is_in_no_file_after_asking(ok: Ok, statewright: Statewright) -> None:
    ok("apply", "-f", "-", stdin=as_text(manifest("keep", "Device"), manifest("drop", "Device")))
    kept = as_text(manifest("keep", "Device"))
    Path("kept.yaml").write_text(kept)
    prune = ("apply", "-f", "kept.yaml", "--prune", "--kind", "devices")

    declined = statewright(*prune, stdin="n\n")
    tried = ok(*prune, "--dry-run")
    left = ok("get", "devices", "-o", "name")
    agreed = statewright(*prune, stdin="y\n")

    assert declined.exit_code == 1
    assert "device/drop will be deleted" in declined.stderr
    assert "device/drop pruned (dry run)" in tried
    assert left.splitlines() == ["device/drop", "device/keep"]
    assert agreed.exit_code == 0
    assert agreed.stdout.endswith("device/keep unchanged\ndevice/drop pruned\n")
    assert ok("get", "devices", "-o", "name") == "device/keep\n"


def test_prune_without_kinds_is_refused(statewright: Statewright) -> None:
    assert statewright("apply", "-f", ".", "--prune").exit_code == 1
    assert statewright("apply", "-f", ".", "--kind", "Agent").exit_code == 1


def test_lists_are_tables_and_wide_shows_all_columns(ok: Ok) -> None:
    ok("apply", "-f", "-", stdin=as_text(manifest("shown", "Collection", description="of things")))

    short = ok("get", "collections").splitlines()
    wide = ok("get", "collection", "shown", "-o", "wide").splitlines()

    assert short[0].split()[0] == "NAME"
    assert not any("of things" in line for line in short)
    assert "DESCRIPTION" in wide[0]
    assert "of things" in wide[1]


def test_deletion_takes_users_before_what_they_use(ok: Ok, statewright: Statewright) -> None:
    provider = manifest("p", "Provider") | {
        "spec": {"type": "openai", "model": "m", "apiKey": "used"}
    }
    secret = manifest("used", "Secret") | {"spec": {"config": {"value": "v"}}}
    both = as_text(secret, provider)
    ok("apply", "-f", "-", stdin=both)

    refused = statewright("delete", "secret", "used")
    checked = ok("delete", "-f", "-", "--dry-run", stdin=both).splitlines()
    gone = ok("delete", "-f", "-", stdin=both)

    assert refused.exit_code == 1
    assert "Provider p" in refused.stderr
    assert checked[1] == "provider/p deleted (dry run)"
    assert checked[0].startswith("secret/used only after others: ")
    assert gone.splitlines() == ["provider/p deleted", "secret/used deleted"]
    assert statewright("delete", "-f", "-", stdin=both).exit_code == 1
    assert ok("delete", "-f", "-", "--ignore-not-found", stdin=both) == ""


def test_an_agent_that_is_not_deployed_is_not_prompted(ok: Ok, statewright: Statewright) -> None:
    ok("apply", "-f", "-", stdin=ok("manifest", "agent"))
    ok("undeploy", "agent/example-agent")

    refused = statewright("prompt", "example-agent", "Hello")
    ok("deploy", "agent", "example-agent")
    answered = yaml.safe_load(
        ok("prompt", "example-agent", "-", "--value", "topic=x=y", "-o", "yaml", stdin="Hello")
    )

    assert refused.exit_code == 1
    assert "not deployed" in refused.stderr
    assert answered["response"].endswith("Hello")
    assert answered["session_id"] in ok("get", "sessions", "-o", "name")
    assert "step" in ok("logs", "session", answered["session_id"])


def test_a_new_key_is_shown_once(ok: Ok, dev: RunningDev) -> None:
    token = manifest("robot", "AuthToken") | {
        "spec": {"user": "robot@example.com", "scopes": ["read"]}
    }

    first = ok("apply", "-f", "-", stdin=as_text(token))
    again = ok("apply", "-f", "-", stdin=as_text(token))

    assert "swk_" in first
    assert "swk_" not in again
    assert "swk_" not in ok("get", "authtokens", "-o", "json")


def test_what_a_text_of_others_would_do_to_the_terminal_is_left_out(ok: Ok) -> None:
    ok("apply", "-f", "-", stdin=ok("manifest", "agent"))

    answered = ok("prompt", "example-agent", "\x1b[31mred\x1b]0;title\x07")

    assert "red" in answered
    assert "\x1b" not in answered
    assert "\x07" not in answered


async def test_what_models_took_is_a_table(ok: Ok, statewright: Statewright) -> None:
    load_provider("openai")
    async with OpenAiServer(Reply(usage=(1000, 20, 0))) as model:
        spec = {"type": "openai", "model": "m", "baseUrl": model.base_url}
        prices = {"prices": {"input": "0.5", "output": "2"}}
        said = [{"role": "user", "content": [{"text": "Hi"}]}]
        template = {"messages": said, "modelProfile": "counted"}
        documents = as_text(
            manifest("counted", "Provider") | {"spec": spec | prices},
            manifest("counting", "Agent") | {"spec": {"requestTemplate": template}},
        )
        await anyio.to_thread.run_sync(lambda: ok("apply", "-f", "-", stdin=documents))
        await anyio.to_thread.run_sync(lambda: ok("prompt", "counting", "Hi"))

        def table() -> str:
            return ok("get", "usage", "--by", "agent", "--agent", "counting")

        shown = await anyio.to_thread.run_sync(table)

    heading, row = shown.splitlines()
    assert heading.split() == ["AGENT", "REQUESTS", "INPUT", "CACHED", "OUTPUT", "COST"]
    assert row.split() == ["counting", "1", "1000", "0", "20", "0.00054", "USD"]
    wrong = await anyio.to_thread.run_sync(lambda: statewright("get", "usage", "--by", "month"))
    assert wrong.exit_code == 1


def test_about_the_service(ok: Ok) -> None:
    assert [line.split()[0] for line in ok("version").splitlines()] == ["client", "server"]
    assert "postgresql   ok" in ok("status")
    assert "dev@localhost" in ok("whoami")
    assert yaml.safe_load(ok("whoami", "-o", "yaml"))["account"]["name"] == "dev"
    assert "/v1/ai/agents" in json.loads(ok("openapi"))["paths"]
