"""Manifests that nobody should send: refused at once, with a reason, and nothing is saved."""

import json
import time
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

from app.manifests.registry import all_brokers

HEAD = "apiVersion: statewright/v1\nkind: Dataset\nmetadata: {name: d}\n"
VALUE = "hunter2-very-secret"
COUNT = """
SELECT (SELECT count(*) FROM entity) + (SELECT count(*) FROM resource)
  + (SELECT count(*) FROM secret) + (SELECT count(*) FROM agent)
  + (SELECT count(*) FROM flow_revision)
"""

BOMB = (
    HEAD
    + "spec:\n  properties:\n    a: &a [x, x]\n"
    + "".join(
        f"    {chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
)

REFUSED: dict[str, tuple[str | bytes, int]] = {
    "empty": ("", 400),
    "only a comment": ("# nothing\n---\n", 400),
    "not YAML": ("kind: [1, 2\nname: }", 400),
    "a scalar": ("hello", 400),
    "a number": ("42", 400),
    "a list of scalars": ("[1, 2]", 400),
    "not UTF-8": (b"\xff\xfe\x00", 400),
    "a NUL": (HEAD + 'spec: {properties: {a: "\\0"}}', 400),
    "a NUL in JSON": ('{"apiVersion": "\\u0000"}', 400),
    "half a surrogate pair": ('{"apiVersion": "\\ud800"}', 400),
    "NaN in JSON": ('{"apiVersion": NaN}', 400),
    "NaN in YAML": (HEAD + "spec: {properties: {a: .nan}}", 400),
    "infinity": (HEAD + "spec: {properties: {a: -.inf}}", 400),
    "a huge number": (HEAD + "spec: {properties: {a: " + "9" * 5000 + "}}", 400),
    "an unknown kind": (HEAD.replace("Dataset", "Nonsense"), 400),
    "an unknown version": (HEAD.replace("/v1", "/v2"), 400),
    "no version": (HEAD.partition("\n")[2], 400),
    "no metadata": ("apiVersion: statewright/v1\nkind: Dataset\nspec: {}", 400),
    "metadata is a text": ("apiVersion: statewright/v1\nkind: Dataset\nmetadata: x", 400),
    "no name": ("apiVersion: statewright/v1\nkind: Dataset\nmetadata: {}", 400),
    "spec is a list": (HEAD + "spec: []", 400),
    "an unknown member": (HEAD + "spec: {}\nextra: 1", 400),
    "a member in snake case": (HEAD.replace("name: d", "name: d, resource_version: 1"), 400),
    "a version that is none": (HEAD.replace("name: d", "name: d, version: 1.0"), 400),
    "duplicate keys": (HEAD + "spec: {}\nspec: {properties: {a: 1}}", 400),
    "duplicate keys in JSON": ('{"kind": "Dataset", "kind": "Device"}', 400),
    "a python tag": (HEAD + "spec: !!python/object/apply:os.system ['touch /tmp/x']", 400),
    "any tag": (HEAD + "spec: !!map {}", 400),
    "an alias bomb": (BOMB, 400),
    "an anchor": (HEAD + "spec: &a {}", 400),
    "a merge key": (HEAD + "spec: {<<: {properties: {}}}", 400),
    "a directive": ("%YAML 1.1\n---\n" + HEAD, 400),
    "5,000 brackets": ("[" * 5_000, 400),
    "100,000 brackets": ("[" * 100_000, 400),
    "100,000 braces": ("{" * 100_000, 400),
    "100,000 JSON objects": ('{"a":' * 50_000, 400),
    "deep indentation": ("".join(" " * n + "a:\n" for n in range(600)), 400),
    "100,000 items": (HEAD + "spec: {properties: {a: [" + "x," * 100_000 + "]}}", 400),
    "many directives": ("".join(f"%TAG !a{n}! b\n" for n in range(14_000)), 400),
    "a long key": ("? " + "a" * 200_000, 400),
    "many documents": ("---\n" + HEAD.join("---\n" for _ in range(300)), 400),
    "300 KB": (HEAD + "# " + "x" * 300_000, 413),
    "6 MB": ("x" * 6_000_000, 413),
    "the same twice": (HEAD + "---\n" + HEAD, 400),
    "a path": (HEAD.replace("name: d", "name: ../../etc/passwd"), 400),
    "an absolute path": (HEAD.replace("name: d", "name: /etc/passwd"), 400),
    "a dot": (HEAD.replace("name: d", "name: ."), 400),
    "upper case": (HEAD.replace("name: d", "name: Data"), 400),
    "too long a name": (HEAD.replace("name: d", f"name: {'d' * 64}"), 400),
    "a name with a line break": (HEAD.replace("name: d", 'name: "d\\n"'), 400),
    "a version not a number": (HEAD.replace("name: d", "name: d, resourceVersion: x"), 400),
    "a version of nothing": (HEAD.replace("name: d", 'name: d, resourceVersion: "1"'), 409),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_hostile_manifest_is_refused_soon(
    client: httpx.AsyncClient, api: FastAPI, case: str
) -> None:
    body, status = REFUSED[case]

    await client.post("/api/v1/cli/version/")  # what only the first request costs
    started = time.process_time()
    response = await client.post("/api/v1/cli/apply/", content=body)
    elapsed = time.process_time() - started  # other work on the machine does not count

    assert response.status_code == status, response.text[:500]
    assert response.json()["detail"]
    assert len(response.text) < 20_000
    assert elapsed < 1.0
    assert await api.state.database.pool.fetchval(COUNT) == 0


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/../b", "..", "a\\b", "a\x1b"]
)
async def test_free_names_are_no_paths(client: httpx.AsyncClient, name: str) -> None:
    example = yaml.safe_load(all_brokers().find("agent").example)
    example["metadata"]["name"] = name
    response = await client.post("/api/v1/cli/apply/", content=json.dumps(example))

    assert response.status_code == 400
    assert response.json()["errors"][0]["loc"] == ["metadata", "name"]


async def test_on_stays_a_key_and_dates_stay_text(client: httpx.AsyncClient) -> None:
    spec = "spec: {properties: {on: yes, day: 2030-01-31, octal: 010, time: 12:30, e: 1e3}}"
    response = await client.post("/api/v1/cli/apply/", content=HEAD + spec)

    assert response.json()["data"]["manifest"]["spec"]["properties"] == {
        "on": "yes",
        "day": "2030-01-31",
        "octal": "010",
        "time": "12:30",
        "e": 1000.0,
    }


def secret(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "apiVersion": "statewright/v1",
        "kind": "Secret",
        "metadata": {"name": "key"},
        "spec": {"config": {"value": VALUE}},
    }
    return document | changes


FAULTY_SECRETS: dict[str, Any] = {
    "an unknown version": secret(apiVersion="statewright/v2"),
    "an unknown kind": secret(kind="Secretum"),
    "a bad name": secret(metadata={"name": "No Name"}),
    "no metadata": {k: v for k, v in secret().items() if k != "metadata"},
    "an unknown field": secret(spec={"config": {"value": VALUE, "colour": VALUE}}),
    "the value as a key": secret(spec={"config": {VALUE: "x"}}),
    "the value as a list": secret(spec={"config": {"value": [VALUE]}}),
    "the value as a mapping": secret(spec={"config": {"value": {VALUE: VALUE}}}),
    "the value elsewhere": secret(spec={"value": VALUE}),
    "a bad expiry": secret(spec={"config": {"value": VALUE, "expirationDate": VALUE}}),
    "broken YAML": json.dumps(secret())[1:-1].replace(",", "\n", 1) + "\n  x: [",
    "an anchor": f"kind: Secret\nspec: {{config: {{value: &x {VALUE}}}}}",
    "a stale version": secret(metadata={"name": "key", "resourceVersion": "7"}),
}


@pytest.mark.parametrize("case", FAULTY_SECRETS)
async def test_a_refused_secret_is_told_to_nobody(
    client: httpx.AsyncClient, api: FastAPI, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    body = FAULTY_SECRETS[case]
    text = body if isinstance(body, str) else yaml.safe_dump(body)
    response = await client.post("/api/v1/cli/apply/", content=text)

    assert response.status_code in (400, 409), response.text
    await assert_untold(api, caplog, response.text)


async def test_a_secret_is_told_to_nobody(
    client: httpx.AsyncClient, api: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    answers = []
    for value in (VALUE, VALUE, f"{VALUE}-2"):
        body = secret(spec={"config": {"value": value}})
        answers.append((await client.post("/api/v1/cli/apply/", json=body)).text)
    answers += [
        (await client.post(f"/api/v1/cli/{verb}/secrets/?name=key")).text
        for verb in ("describe", "get", "logs", "delete")
    ]

    operations = [json.loads(text)["data"].get("operation") for text in answers[:3]]
    assert operations == ["created", "unchanged", "updated"]
    changes = json.loads(answers[2])["data"]["diff"]
    assert changes == [{"path": "/spec/config/value", "op": "replace", "from": "***", "to": "***"}]
    await assert_untold(api, caplog, *answers)


async def test_a_secret_keeps_its_value_when_none_is_given(client: httpx.AsyncClient) -> None:
    await client.post("/api/v1/cli/apply/", json=secret())
    expiry = secret(spec={"config": {"expirationDate": "2099-01-01T01:00:00+01:00"}})
    assert (await client.post("/api/v1/cli/apply/", json=expiry)).json()["data"]["diff"]

    same = (await client.post("/api/v1/cli/apply/", json=secret())).json()["data"]
    assert [change["path"] for change in same["diff"]] == ["/spec/config/expirationDate"]


@pytest.mark.parametrize("expiry", ["2099-01-01", "9999-12-31T23:59:59Z"])
async def test_a_secret_expires_at_a_moment_or_a_date(
    client: httpx.AsyncClient, expiry: str
) -> None:
    body = secret(spec={"config": {"value": VALUE, "expirationDate": expiry}})
    applied = await client.post("/api/v1/cli/apply/", content=yaml.safe_dump(body))
    assert applied.status_code == 200, applied.text


@pytest.mark.parametrize("expiry", [0, 1e12, "1700000000", "9999-12-31T23:59:59-12:00"])
async def test_numbers_and_moments_past_the_end_of_time_are_refused(
    client: httpx.AsyncClient, expiry: Any
) -> None:
    body = secret(spec={"config": {"value": VALUE, "expirationDate": expiry}})
    refused = await client.post("/api/v1/cli/apply/", json=body)
    assert refused.status_code == 400
    assert "expirationDate" in refused.json()["detail"]


async def assert_untold(api: FastAPI, caplog: pytest.LogCaptureFixture, *answers: str) -> None:
    journal = await api.state.database.pool.fetch("SELECT journal::text FROM journal")
    rows = await api.state.database.pool.fetch("SELECT secret::text FROM secret")
    for text in (*answers, *(row[0] for row in [*journal, *rows]), caplog.text):
        assert "hunter2" not in text
