"""`statewright prompt` against what a model may answer: what it prints, and its exit code."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
import yaml
from typer.testing import Result

from tests.cli.conftest import Statewright
from tests.manifests.test_connections import product
from tests.support.manifests import manifest
from tests.support.model_server import ModelServer, Said

WORDS = "my own words"  # of the user, whatever the model answers

REFUSAL = {"choices": [{"message": {"content": None, "refusal": "I will not."}}]}
FAILURES = {
    "refusal": (Said(raw=json.dumps(REFUSAL)), "the model refused to answer: I will not."),
    "filter": (Said(text=None, finish="content_filter"), "content filter"),
    "empty": (Said(text=None), "its text is empty"),
    "reasoning": (Said(text=None, reasoning=WORDS), "there is reasoning, but no text"),
    "error": (
        Said(raw='{"error": {"message": "the prompt is odd", "code": 400}}'),
        "prompt is odd",
    ),
    "page": (Said(raw="<p>Hi", content_type="text/html"), "a web page"),
}


@pytest.fixture
async def upstream() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


async def test_a_turn_without_an_answer_fails_the_command(
    statewright: Statewright, upstream: ModelServer
) -> None:
    run = await prompts(statewright, upstream)
    for name, (said, reason) in FAILURES.items():
        upstream.answers[f"{WORDS}: {name}"] = said

        for more in ([], ["-o", "json"]):
            failed = await run("prompt", "Helper", f"{WORDS}: {name}", *more)

            assert failed.exit_code == 1, (name, failed.output)
            assert failed.stdout == "", name
            assert failed.stderr.startswith("statewright: The agent's turn failed. "), name
            assert reason in failed.stderr, (name, failed.stderr)
            assert "(session " in failed.stderr, name
            assert WORDS not in failed.stderr, name
            assert len(failed.stderr.splitlines()) == 1, name


async def test_a_cut_answer_is_printed_and_said_to_be_cut(
    statewright: Statewright, upstream: ModelServer
) -> None:
    run = await prompts(statewright, upstream)
    upstream.answers = {"whole": Said(), "cut": Said(finish="length")}

    whole = await run("prompt", "Helper", "whole")
    cut = await run("prompt", "Helper", "cut")
    document = await run("prompt", "Helper", "cut", "-o", "yaml")

    assert (whole.exit_code, whole.stdout, whole.stderr) == (0, "Hello there.\n", "")
    assert (cut.exit_code, cut.stdout) == (0, "Hello there.\n")
    assert cut.stderr.startswith("The answer is cut: ")
    answer = yaml.safe_load(document.stdout)
    assert (answer["response"], answer["cut"]) == ("Hello there.", True)


async def test_an_agent_that_does_not_achieve_its_goals_fails_the_command(
    statewright: Statewright, upstream: ModelServer
) -> None:
    run = await prompts(statewright, upstream)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    template = {"modelProfile": "script", "outputSchema": schema}
    agent = manifest("Agent", "counter", {"requestTemplate": template})
    assert (await run("apply", "-f", "-", stdin=yaml.safe_dump(agent))).exit_code == 0

    counted = await run("prompt", "counter", 'call submit_output {"n": 3}')
    failed = await run("prompt", "counter", "I cannot.")

    assert (counted.exit_code, counted.stdout, counted.stderr) == (0, '{"n": 3}\n', "")
    assert failed.exit_code == 1
    assert failed.stderr.startswith(
        "statewright: The agent did not achieve its goals (session ath_"
    )


async def prompts(statewright: Statewright, upstream: ModelServer) -> Callable[..., Any]:
    """Runs commands beside the upstream, once there is an agent that asks it."""

    async def run(*words: str, **options: str) -> Result:
        return await anyio.to_thread.run_sync(lambda: statewright(*words, **options))

    provider = {"type": "openai", "baseUrl": upstream.base_url("openai"), "model": "m"}
    template = {"invoke": "used", "template": "{{ actor_input }}"}
    documents = product(template, Provider=provider | {"apiKey": "key", "stream": False})
    applied = await run("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))
    assert applied.exit_code == 0, applied.output
    return run
