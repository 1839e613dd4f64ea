"""The published client's goals, unchanged: declared for a turn, achieved by the model's calls."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from roboto.ai.agent import Agent, TemplateVariable, TemplateVariableType
from roboto.ai.agent_thread import (
    AgentRole,
    AgentThread,
    AgentThreadStatus,
    RobotoAgentGoalsFailedException,
    StartAgentThreadRequest,
)
from roboto.ai.agent_thread.record import AgentMessage
from roboto.ai.goals import (
    AgentGoal,
    AgentGoalStatus,
    CreateEventsGoal,
    CreateEventsGoalResult,
    DatasetSummaryAgentGoal,
    DatasetSummaryGoalResult,
    DatasetTriageGoal,
    DatasetTriageGoalResult,
)
from roboto.exceptions import RobotoInvalidRequestException
from roboto.http import RobotoClient

from app.kit.certificates import NO_CERTIFICATES
from tests.contract.conftest import Service, running_worker

TICK = 0.03
SECONDS = 30
LABELS = {"rain": "It rains.", "night": "It is dark."}
RAINY = [
    {"label": "rain", "applies": True, "justification": "Wet lens.", "confidence": 0.9},
    {"label": "night", "applies": False, "justification": "Bright.", "confidence": 1},
]


@pytest.fixture(autouse=True)
def _worker(service: Service) -> Iterator[None]:
    """A worker beside the running server."""
    with running_worker(service.settings):
        yield


class Manifests:
    """Entities of the org, as their manifests have them."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def apply(self, kind: str, name: str, **spec: Any) -> str:
        """Make an entity; its id."""
        document = {"apiVersion": "statewright/v1", "kind": kind, "metadata": {"name": name}}
        body = json.dumps(document | {"spec": spec})
        answer = self._http.post("/api/v1/cli/apply/", content=body)
        assert answer.status_code == 200, answer.text
        entity_id: str = answer.json()["data"]["manifest"]["status"]["id"]
        return entity_id

    def status(self, name: str) -> dict[str, Any]:
        """The status of a dataset."""
        answer = self._http.post("/api/v1/cli/describe/Dataset/", params={"name": name})
        assert answer.status_code == 200, answer.text
        status: dict[str, Any] = answer.json()["data"]["status"]
        return status

    def log(self, kind: str, name: str) -> list[str]:
        """The log of an entity, as `describe` shows it."""
        answer = self._http.post(f"/api/v1/cli/logs/{kind}/", params={"name": name})
        assert answer.status_code == 200, answer.text
        return [item["text"] for item in answer.json()["data"]["data"]["items"]]

    def events(self, dataset_id: str) -> list[dict[str, Any]]:
        answer = self._http.get(f"/v1/ai/datasets/{dataset_id}/events")
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["data"]["items"]
        return items


@pytest.fixture
def manifests(service: Service) -> Iterator[Manifests]:
    headers = {"Authorization": f"Bearer {service.key.api_key}"}
    with httpx.Client(base_url=service.base_url, headers=headers, verify=NO_CERTIFICATES) as http:
        yield Manifests(http)


def script(*answers: str) -> str:
    return "\nthen\n".join(answers)


def call(tool: str, **arguments: Any) -> str:
    return f"call {tool} {json.dumps(arguments)}"


def started(roboto: RobotoClient, message: str, *goals: AgentGoal) -> AgentThread:
    return AgentThread.start(message, goals=goals, model_profile="script", roboto_client=roboto)


def test_a_goal_is_achieved_by_a_call_and_its_result_is_typed(
    roboto: RobotoClient, manifests: Manifests
) -> None:
    dataset = manifests.apply("Dataset", "drive")
    goal = DatasetSummaryAgentGoal(dataset_id=dataset)
    message = script(call("achieve_dataset_summary", summary="Rain."), "Done.")
    thread = started(roboto, message, goal)
    [view] = thread.goals
    assert (view.status, view.message_sequence_num, view.result) == ("pending", 0, None)
    assert view.to_agent_goal() == goal

    thread.run(tick=TICK, timeout=SECONDS)

    for held in (thread, AgentThread.from_id(thread.thread_id, roboto)):
        [view] = held.goals
        assert view.status is AgentGoalStatus.ACHIEVED
        assert view.concluded_at is not None
        assert view.concluded_at >= view.created
        assert isinstance(view.result, DatasetSummaryGoalResult)
        assert view.result.summary == "Rain."
        assert view.achieve_tool_result is not None
        assert view.achieve_tool_result.status == "success"
        assert view.achieve_tool_use is not None
        assert not view.achieve_tool_use.answered_by_server
    assert thread.messages[-1].content[0].text == "Done."
    assert manifests.status("drive")["summary"] == "Rain."


def test_a_wrong_call_is_told_all_that_is_wrong_and_a_right_one_may_follow(
    roboto: RobotoClient, manifests: Manifests
) -> None:
    dataset = manifests.apply("Dataset", "drive")
    goal = DatasetTriageGoal(dataset_id=dataset, label_vocabulary=LABELS)
    wrong = [
        RAINY[0] | {"applies": "yes", "justification": " "},
        RAINY[0],
        RAINY[1] | {"label": "snow", "confidence": 2},
    ]
    tool = "achieve_dataset_triage"
    message = script(call(tool, label_decisions=wrong), call(tool, label_decisions=RAINY), "Done.")
    thread = started(roboto, message, goal)
    thread.run(tick=TICK, timeout=SECONDS)

    refused = thread.messages[2].content[0]
    assert refused.status == "error"
    for fault in (
        "label_decisions.0.applies",
        "label_decisions.0.justification",
        "label_decisions.2.confidence",
        "not in the vocabulary: 'snow'",
        "decided more than once: 'rain'",
        "not decided: 'night'",
    ):
        assert fault in refused.payload["error"]
    [view] = thread.goals
    assert view.status is AgentGoalStatus.ACHIEVED
    assert isinstance(view.result, DatasetTriageGoalResult)
    assert view.result.applied_labels == ["rain"]
    assert view.achieve_tool_use_id == thread.messages[3].content[0].tool_use_id
    assert manifests.status("drive")["tags"] == ["rain"]


def test_a_label_that_does_not_apply_any_more_is_no_tag_any_more(
    roboto: RobotoClient, manifests: Manifests
) -> None:
    dataset = manifests.apply("Dataset", "drive")
    other = DatasetTriageGoal(dataset_id=dataset, label_vocabulary={"city": "A city."})
    goal = DatasetTriageGoal(dataset_id=dataset, label_vocabulary=LABELS)
    city = [RAINY[0] | {"label": "city"}]
    dark = [RAINY[0] | {"applies": False}, RAINY[1] | {"applies": True}]
    tool = "achieve_dataset_triage"
    for declared, decisions in ((other, city), (goal, RAINY), (goal, dark)):
        thread = started(roboto, call(tool, label_decisions=decisions), declared)
        thread.run(tick=TICK, timeout=SECONDS)
    assert manifests.status("drive")["tags"] == ["city", "night"]


def test_events_are_made_and_put_into_the_collection(
    roboto: RobotoClient, manifests: Manifests
) -> None:
    dataset = manifests.apply("Dataset", "drive")
    collection = manifests.apply("Collection", "stops", contentType="event")
    goal = CreateEventsGoal(
        dataset_id=dataset,
        event_vocabulary={"stop": "It stands."},
        tag_vocabulary={"hard": "Above 5 m/s2."},
        collection_id=collection,
    )
    event = {"name": "stop", "start_time": 10, "end_time": 20, "target_id": dataset}
    events = [event | {"tags": ["hard"], "description": "Red light."}, event | {"start_time": 5}]
    wrong = [
        event | {"name": "go", "start_time": True},
        event | {"end_time": 1, "tags": ["soft"]},
        event | {"target_id": None, "start_time": 2**63},
        event | {"target_id": "ds_other"},
    ]
    tool = "achieve_create_events"
    message = script(call(tool, events=wrong), call(tool, events=events))
    thread = started(roboto, message, goal)
    thread.run(tick=TICK, timeout=SECONDS)

    refused = thread.messages[2].content[0].payload["error"]
    for fault in (
        "events.0.start_time",
        "events.1: Value error, end_time is before start_time",
        "events.2.target_id",
        "events.2.start_time",
        "vocabulary of events: 'go'",
        "vocabulary of tags: 'soft'",
        "not in the dataset",
    ):
        assert fault in refused
    [view] = thread.goals
    assert isinstance(view.result, CreateEventsGoalResult)
    assert [found.start_time for found in view.result.events] == [10, 5]
    first, second = manifests.events(dataset)
    assert (first["start_time"], second["start_time"]) == (5, 10)
    assert (second["tags"], second["description"]) == (["hard"], "Red light.")
    assert {e["collection_id"] for e in (first, second)} == {collection}
    assert {e["thread_id"] for e in (first, second)} == {thread.thread_id}
    for kind, name in (("Dataset", "drive"), ("Collection", "stops")):
        found = [text for text in manifests.log(kind, name) if text.startswith("stop")]
        assert f"stop [hard] in {dataset}, from 10 to 20 ns: Red light." in found
        assert len(found) == 2


def test_a_turn_that_never_achieves_its_goal_fails_after_three_reminders(
    roboto: RobotoClient, manifests: Manifests
) -> None:
    dataset = manifests.apply("Dataset", "drive")
    goal = DatasetSummaryAgentGoal(dataset_id=dataset)
    message = script(call("achieve_dataset_summary", summary=" "), "I cannot.", "Really not.")
    thread = started(roboto, message, goal)
    with pytest.raises(RobotoAgentGoalsFailedException):
        thread.run(tick=TICK, timeout=SECONDS)

    answers = [m for m in thread.messages if m.role is AgentRole.ASSISTANT]
    assert len(answers) == 5  # the call, what ends the turn, and three more
    assert all(m.role is not AgentRole.USER for m in thread.messages[1:])
    [view] = thread.goals
    assert view.status is AgentGoalStatus.FAILED
    assert view.concluded_at is not None
    assert view.achieve_tool_use_id == thread.messages[1].content[0].tool_use_id
    assert view.result is None
    assert "summary" not in manifests.status("drive")

    thread.send_text("Never mind.").run(tick=TICK, timeout=SECONDS)
    assert thread.status is AgentThreadStatus.USER_TURN
    assert [view.status for view in thread.goals] == [AgentGoalStatus.FAILED]


def test_goals_of_one_turn_are_each_to_be_achieved(
    roboto: RobotoClient, manifests: Manifests
) -> None:
    one, two = manifests.apply("Dataset", "one"), manifests.apply("Dataset", "two")
    message = script(
        call("achieve_dataset_summary", summary="One."),
        "That is all.",  # it is not
        call("achieve_dataset_summary", summary="Again.")
        + "\n"
        + call("achieve_dataset_summary_2", summary="Two."),
        "Done.",
    )
    goals = [DatasetSummaryAgentGoal(dataset_id=id_) for id_ in (one, two)]
    thread = started(roboto, message, *goals)
    thread.run(tick=TICK, timeout=SECONDS)

    assert [view.result.summary for view in thread.goals if view.result] == ["One.", "Two."]
    assert manifests.status("one")["summary"] == "One."
    assert manifests.status("two")["summary"] == "Two."
    assert [block.status for block in thread.messages[5].content] == ["error", "success"]


def test_a_message_may_bring_nothing_but_goals(roboto: RobotoClient, manifests: Manifests) -> None:
    dataset = manifests.apply("Dataset", "drive")
    goal = DatasetSummaryAgentGoal(dataset_id=dataset)
    thread = AgentThread.start("Hi", model_profile="script", roboto_client=roboto)
    thread.run(tick=TICK, timeout=SECONDS)
    assert thread.goals == []

    thread.send(goals=[goal])
    with pytest.raises(RobotoAgentGoalsFailedException):
        thread.run(tick=TICK, timeout=SECONDS)
    [view] = thread.goals
    assert view.message_sequence_num == 2
    assert thread.messages[2].role is AgentRole.USER
    assert thread.messages[2].content[0].text

    alone = AgentThread.start(goals=[goal], model_profile="script", roboto_client=roboto)
    assert [view.message_sequence_num for view in alone.goals] == [0]
    assert alone.messages[0].role is AgentRole.USER


def test_an_agent_with_a_goal_is_launched_over_many_datasets(
    roboto: RobotoClient, manifests: Manifests
) -> None:
    template = StartAgentThreadRequest(
        messages=[AgentMessage.text(call("achieve_dataset_triage", label_decisions=RAINY))],
        model_profile="script",
        goals=[DatasetTriageGoal(dataset_id="{{dataset.id}}", label_vocabulary=LABELS)],
    )
    agent = Agent.create(
        name="triage",
        request_template=template,
        variables=[TemplateVariable(name="dataset.id", type=TemplateVariableType.DATASET_ID)],
        roboto_client=roboto,
    )
    assert Agent.from_id(agent.agent_id, roboto).request_template.goals == template.goals
    for name in ("one", "two"):
        dataset = manifests.apply("Dataset", name)
        thread = agent.launch(values={"dataset.id": dataset}).run(tick=TICK, timeout=SECONDS)
        assert thread.goals[0].to_agent_goal().dataset_id == dataset
        assert manifests.status(name)["tags"] == ["rain"]


def test_goals_that_cannot_be_worked_on_are_an_invalid_request(
    roboto: RobotoClient, manifests: Manifests
) -> None:
    collection = manifests.apply("Collection", "sets", contentType="dataset")
    dataset = manifests.apply("Dataset", "drive")
    thread = AgentThread.start("Hi", roboto_client=roboto).run(tick=TICK, timeout=SECONDS)
    bad = {
        "there is no Dataset 'ds_none'": DatasetSummaryAgentGoal(dataset_id="ds_none"),
        f"there is no Dataset '{collection}'": DatasetTriageGoal(
            dataset_id=collection, label_vocabulary=LABELS
        ),
        "does not hold event entries": CreateEventsGoal(
            dataset_id=dataset, event_vocabulary=LABELS, collection_id=collection
        ),
    }
    for says, goal in bad.items():
        with pytest.raises(RobotoInvalidRequestException, match=says):
            AgentThread.start("Hi", goals=[goal], roboto_client=roboto)
        with pytest.raises(RobotoInvalidRequestException, match=says):
            thread.send_text("Hi", goals=[goal])
    template = StartAgentThreadRequest(
        goals=[DatasetSummaryAgentGoal(dataset_id="{{dataset}}")], model_profile="script"
    )
    agent = Agent.create(
        name="summary",
        request_template=template,
        variables=[TemplateVariable(name="dataset")],
        roboto_client=roboto,
    )
    with pytest.raises(RobotoInvalidRequestException, match="there is no Dataset 'ds_none'"):
        agent.launch(values={"dataset": "ds_none"})
    thread.refresh()
    assert len(thread.messages) == 2
