"""What a model answers, a tenant's own or `script`, is bounded where it is read.

Such a model writes megabytes of small values into the arguments of its calls, or calls for ever.
"""

import time

import httpx
import pytest

from app.goals.create_events import CreateEvents
from app.invokers.chat import MAX_CALL_VALUES, MAX_CALLS, CallReader
from app.invokers.tool import MAX_RESULT_VALUES, tool_payload
from app.kit.storable import MAX_VALUES, NotStorableError, load_json
from app.settings import Settings
from app.worker import serving
from tests.support.threads import answered, results


@pytest.mark.parametrize("before", ["", '"\\u0000", ', '"\\ud83d", '])
def test_values_are_counted_before_they_are_read(before: str) -> None:
    """Two million, and half a character, took 13 s and 400 MB."""
    text = f"[{before}{'1, ' * 1_000_000}1]"
    began = time.thread_time()
    with pytest.raises(NotStorableError, match="more than 100,000 values"):
        load_json(text, clean=True)
    assert time.thread_time() - began < 0.2
    assert len(load_json(f"[{'1,' * (MAX_VALUES - 2)}1]")) == MAX_VALUES - 1


def test_calls_of_one_answer_have_so_many_values_together() -> None:
    reader, half = CallReader(), f'{{"a": [{"1, " * (MAX_CALL_VALUES // 2)}1]}}'
    assert reader.read("f", half).arguments is not None
    assert reader.read("f", half).arguments is None
    assert reader.read("f", "{}").arguments == {}


async def test_a_call_with_too_many_values_is_refused_and_calls_have_a_number(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    large = f'call f {{"a": [{"1, " * MAX_CALL_VALUES}1]}}'
    tool = {"name": "client_f", "description": "", "input_schema": {}}
    script = "\n".join([large, *["call g"] * 2_000])
    async with serving(settings):
        thread = await answered(client, script, model_profile="script", client_tools=[tool])
    found = results(thread)
    assert len(found) == MAX_CALLS
    assert {status for status, _ in found} == {"error"}
    assert "at the most" in found[-1][1]["error"]


def test_faults_of_a_goal_s_call_are_bounded() -> None:
    """Each was listed: of 400 KB, 200,000 in 1.2 s."""
    vocabulary = {"dataset_id": "ds", "event_vocabulary": {"a": "b"}, "tag_vocabulary": {}}
    goal = CreateEvents(vocabulary)
    event = {"name": "a", "start_time": 1, "end_time": 2, "target_id": "ds"}
    faults = goal.faults({"events": [event | {"tags": [1] * 9_000}]})
    assert len(faults) == 20
    names = goal.faults({"events": [event | {"name": f"n{n}"} for n in range(900)]})
    assert sum(map(len, names)) < 500


def test_a_result_of_many_values_is_a_text() -> None:
    text = f"[{'[],' * MAX_RESULT_VALUES}[]]"
    assert tool_payload(text) == text
    assert tool_payload("[[], []]") == [[], []]
