"""`statewright dev` as its user sees it: real processes, killed in every way."""

import asyncio
import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli import app as cli
from tests.support.dev import RunningDev, is_alive, statewright, wait_for
from tests.support.services import Addresses, Clones

pytestmark = pytest.mark.slow

_AGENT = {
    "name": "kept",
    "request_template": {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]},
}


def _pid(dev: RunningDev, child: str) -> int:
    pids = dev.state["pids"]
    pid: int = pids["workers"][0] if child == "worker" else pids[child]
    return pid


def test_dev_json_says_where_everything_is_to_its_owner_alone(shared_dev: RunningDev) -> None:
    state = shared_dev.state

    assert set(state) == {
        *("base_url", "api_key", "org_id", "database_url", "redis_url", "pids"),
    }
    assert len(state["pids"]["workers"]) == 2
    assert all(is_alive(pid) for pid in shared_dev.pids)
    for name in ("dev.json", "secrets.json"):
        assert (shared_dev.data_dir / name).stat().st_mode & 0o777 == 0o600
    for secret in (state["api_key"], *_passwords(state)):
        for pid in shared_dev.pids:
            assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def _passwords(state: dict[str, Any]) -> list[str]:
    return [
        state[url].partition("@")[0].rpartition(":")[2] for url in ("database_url", "redis_url")
    ]


def test_what_it_prints_launches_the_example_agent_and_reads_its_answer(
    shared_dev: RunningDev,
) -> None:
    state = shared_dev.state
    [line] = [line for line in shared_dev.output.splitlines() if "curl" in line]

    shown = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=30, check=True
    )

    assert "[echo model]" in json.loads(shown.stdout)["data"]["messages"][-1]["content"][0]["text"]
    assert state["api_key"] in shared_dev.output
    assert f"{state['base_url']}/docs" in shared_dev.output


def test_a_second_start_on_the_directory_is_refused(shared_dev: RunningDev) -> None:
    second = statewright("dev", "--port", "0", "--data-dir", str(shared_dev.data_dir))

    assert second.returncode == 1
    [line] = second.stderr.splitlines()
    assert "already runs" in line
    assert str(shared_dev.process.pid) in line
    assert shared_dev.is_ready()


def test_a_taken_port_is_named(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = statewright("dev", "--port", port, "--data-dir", str(place / "never"))

    assert refused.returncode == 1
    assert f"Port {port} cannot be used" in refused.stderr.splitlines()[-1]


@pytest.mark.faults
@pytest.mark.parametrize("child", ["worker", "api", "redis", "postgres"])
def test_a_child_that_dies_is_started_again(shared_dev: RunningDev, child: str) -> None:
    killed = _pid(shared_dev, child)

    os.kill(killed, signal.SIGKILL)

    wait_for(lambda: _pid(shared_dev, child) != killed, seconds=30, what=f"{child} is replaced")
    wait_for(shared_dev.is_ready, seconds=30, what="all is ready again")
    assert is_alive(_pid(shared_dev, child))
    assert "ended (SIGKILL); starting it again" in shared_dev.output
    with shared_dev.api() as api:
        assert api.get("/v1/ai/agents/name/explainer").is_success


def test_keys_are_made_beside_it_from_the_database_address_alone(
    shared_dev: RunningDev, tmp_path: Path
) -> None:
    made = statewright(
        *("key", "create", "--org", "other", "--user", "ann@other.example", "--scope", "read"),
        environment={"DATABASE_URL": shared_dev.state["database_url"]},
        cwd=tmp_path,
    )

    key = json.loads(made.stdout)
    assert set(key) == {"org_id", "user_id", "key_id", "api_key"}
    with shared_dev.api() as api:
        theirs = {"Authorization": f"Token {key['api_key']}"}
        assert api.get("/v1/ai/agents", headers=theirs).json()["data"]["items"] == []


def test_keys_are_listed_and_revoked_by_the_data_directory(shared_dev: RunningDev) -> None:
    def keys(*words: str) -> Result:
        here = ("--data-dir", str(shared_dev.data_dir))
        return CliRunner().invoke(cli, ["key", *words, *here])

    key = json.loads(keys("create", "--org", "x", "--user", "x@y.example").stdout)

    listed = keys("list", "--org", "x")
    revoked = keys("revoke", key["key_id"])
    again = keys("revoke", key["key_id"])

    assert [item["key_id"] for item in json.loads(listed.stdout)] == [key["key_id"]]
    assert key["api_key"] not in listed.stdout
    assert json.loads(revoked.stdout) == {"key_id": key["key_id"], "revoked": True}
    assert again.exit_code == 1
    with shared_dev.api() as api:
        theirs = {"Authorization": f"Bearer {key['api_key']}"}
        assert api.get("/v1/ai/agents", headers=theirs).status_code == 401


@pytest.mark.faults
def test_however_it_ends_nothing_runs_on_and_nothing_is_lost(
    place: Path, devs: list[RunningDev]
) -> None:
    data_dir = place / "ends"
    key = None
    for end in (signal.SIGKILL, signal.SIGINT, signal.SIGINT):
        dev = RunningDev(data_dir)
        devs.append(dev)
        dev.wait_until_up()
        with dev.api() as api:
            if key is None:
                key = dev.state["api_key"]
                assert api.post("/v1/ai/agents", json=_AGENT).is_success
            assert dev.state["api_key"] == key
            assert api.get("/v1/ai/agents/name/kept").is_success

        _ends(dev, end)
        assert (data_dir / "dev.json").exists() == (end == signal.SIGKILL)


def _ends(dev: RunningDev, end: signal.Signals) -> None:
    """All its processes end, soon."""
    pids = dev.pids
    assert dev.stop(end) < 5
    wait_for(lambda: not any(map(is_alive, pids)), seconds=5, what="no child is left")


@pytest.mark.faults
def test_ctrl_c_while_it_starts_leaves_nothing(place: Path, devs: list[RunningDev]) -> None:
    dev = RunningDev(place / "hasty")
    devs.append(dev)
    log = place / "hasty" / "logs" / "postgres.log"
    wait_for(lambda: log.exists() and log.stat().st_size, seconds=30, what="PostgreSQL starts")

    assert dev.stop() < 5

    assert dev.process.returncode == 0
    assert _running_on(place / "hasty") == []


def _running_on(data_dir: Path) -> list[str]:
    return [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if is_alive(int(path.parent.name)) and str(data_dir).encode() in path.read_bytes()
    ]


def test_services_that_are_there_already_are_used(
    place: Path, devs: list[RunningDev], addresses: Addresses, clones: Clones
) -> None:
    url = clones.create("dev_outside")
    try:
        dev = RunningDev(
            place / "outside",
            environment={"DATABASE_URL": url, "REDIS_URL": addresses.redis_url},
        )
        devs.append(dev)
        dev.wait_until_up()

        assert (dev.state["database_url"], dev.state["redis_url"]) == (url, addresses.redis_url)
        assert (dev.state["pids"]["postgres"], dev.state["pids"]["redis"]) == (None, None)
        assert dev.is_ready()
        dev.stop()
    finally:
        clones.drop("dev_outside")
        asyncio.run(clones.forget("statewright"))
