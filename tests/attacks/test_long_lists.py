"""Differences and lists of faults are for people: however much is wrong, they are short."""

import json
from typing import Any

import httpx
import orjson

from app.cli.manifests.patch import changes_text
from app.db.engine import Database
from app.flows.findings import Findings
from app.manifests.model.diff import MAX_CHANGES, compare
from tests.support.flows import flow_of
from tests.support.manifests import manifest, post


def agent(prompt: str) -> Any:
    said = {"role": "user", "content": [{"text": "hello"}]}
    return manifest(
        "Agent", "long", {"requestTemplate": {"systemPrompt": prompt, "messages": [said]}}
    )


async def test_a_small_change_of_a_long_text_is_small_in_the_answer_and_in_the_journal(
    client: httpx.AsyncClient, database: Database
) -> None:
    """Of an agent of 4 MB both stored 8 MB more, for 20 bytes."""
    text = "x" * 60_000
    await post(client, "apply", agent(text + "old" + text))

    applied = await post(client, "apply", agent(text + "new" + text))

    [change] = applied["data"]["diff"]
    assert change["path"] == "/spec/requestTemplate/systemPrompt"
    for value, word in ((change["from"], "old"), (change["to"], "new")):
        assert word in value
        assert "[59,900 characters before]" in value
        assert "more characters]" in value
        assert len(value) < 11_000
    longest = "SELECT max(length(detail::text)) FROM journal"
    assert await database.pool.fetchval(longest) < 30_000


def test_short_values_are_shown_as_they_are() -> None:
    before = {"a": 1, "b": [1, 2], "c": "x" * 10_000, "e": "same"}
    after = {"a": True, "b": [1, 3], "d": {"deep": ["y"]}, "e": "same"}
    assert compare(before, after) == [
        {"path": "/a", "op": "replace", "from": 1, "to": True},
        {"path": "/b/1", "op": "replace", "from": 2, "to": 3},
        {"path": "/c", "op": "remove", "from": "x" * 10_000, "to": None},
        {"path": "/d", "op": "add", "from": None, "to": {"deep": ["y"]}},
    ]


def test_many_changes_are_counted() -> None:
    changes = compare(
        {str(number): number for number in range(30_000)},
        {str(number): -number for number in range(30_000)},
    )
    assert len(changes) == MAX_CHANGES + 1
    assert changes[-1]["to"] == "29,499 more changes"
    assert changes_text("Agent a", [dict(one) for one in changes[-1:]]).endswith(
        "… 29,499 more changes"
    )


def test_large_changes_are_bounded_together() -> None:
    before: dict[str, Any] = {str(number): "x" * 5_000 for number in range(1_000)}
    assert len(orjson.dumps(compare(before, {}))) < 120_000
    assert len(orjson.dumps(compare({}, {"spec": before}))) < 1_000


def test_faults_that_are_not_shown_are_counted() -> None:
    findings = Findings()
    for number in range(1_000):
        findings.error((number,), "is wrong")
        findings.error((0,), "is wrong")
    assert len(findings.errors) == 100
    assert findings.errors[-1]["msg"] == "901 more are not shown"
    assert findings.warnings == []


async def test_seed_data_of_many_unknown_fields_are_refused_shortly(
    client: httpx.AsyncClient,
) -> None:
    await post(client, "apply", manifest("Flow", "plain", flow_of("x")))
    seed = {f"unknown_{number}": number for number in range(3_000)}
    refused = await client.post("/v1/ai/plain/start_session", json={"seed_data": seed})
    assert refused.status_code == 400
    assert "3,000 of them" in refused.json()["detail"]
    assert len(json.dumps(refused.json())) < 20_000


async def test_the_changes_of_all_documents_are_bounded_together(
    client: httpx.AsyncClient, database: Database
) -> None:
    """Each was bounded, and 200 documents came to 20 MB, in the answer and in the journal."""
    long = {"messages": [{"role": "user", "content": [{"text": "x" * 9_000}] * 10}]}
    short = {"messages": [{"role": "user", "content": [{"text": "y"}]}]}
    for number in range(12):
        agent = {"name": f"a{number}", "request_template": long}
        assert (await client.post("/v1/ai/agents", json=agent)).status_code == 201
    documents = [
        manifest("Agent", f"a{number}", {"requestTemplate": short}) for number in range(12)
    ]

    for dry_run in (True, False):
        answer = await post(client, "apply", documents, dry_run=dry_run)
        diffs = [item["diff"] for item in answer["data"]["items"]]
        assert len(json.dumps(diffs)) < 1_100_000
        assert [diff[-1]["op"] for diff in diffs] == ["replace"] * 11 + ["more"]
        assert diffs[-1][-1]["to"].startswith("1 more changes, beyond the 1,000,000 bytes")
    kept = await database.pool.fetchval("SELECT sum(length(detail::text)) FROM journal")
    assert kept < 2_400_000


async def test_a_manifest_of_more_faults_than_are_listed_is_refused(
    client: httpx.AsyncClient,
) -> None:
    """It was answered with 500: that there are more is said of no place in the manifest."""
    templates = {f"state_{number}": "x" for number in range(150)}
    spec = flow_of({"invoke": "echo", "template": "x"})
    spec["templates"] |= templates
    refused = await client.post("/api/v1/cli/apply/", json=manifest("Flow", "faults", spec))
    assert refused.status_code == 400, refused.text[:300]
    assert len(refused.json()["errors"]) == 100
    assert "more)" in refused.json()["detail"]
