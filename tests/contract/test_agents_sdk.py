"""The published client's `Agent`, unchanged, against the running service."""

import pytest
from roboto.ai.agent import Agent, TemplateVariable, TemplateVariableType
from roboto.ai.agent_thread import (
    AgentMessage,
    AgentRole,
    ClientToolSpec,
    StartAgentThreadRequest,
    ThreadVisibility,
)
from roboto.ai.core import AnalysisScope, ClientViewingContext
from roboto.exceptions import (
    RobotoConflictException,
    RobotoInvalidRequestException,
    RobotoNotFoundException,
    RobotoUnauthorizedException,
)
from roboto.http import RobotoClient

from app.access.caller import KeyScope
from tests.contract.conftest import Service

TEMPLATE = StartAgentThreadRequest(messages=[AgentMessage.text("Triage {{dataset.id}}.")])
VARIABLES = [TemplateVariable(name="dataset.id", type=TemplateVariableType.DATASET_ID)]
PLAIN = StartAgentThreadRequest(messages=[AgentMessage.text("Hello.")])


def create(roboto: RobotoClient, name: str = "triage") -> Agent:
    return Agent.create(
        name, TEMPLATE, VARIABLES, description="Triages a dataset.", roboto_client=roboto
    )


def test_an_agent_is_created_and_found(service: Service, roboto: RobotoClient) -> None:
    made = create(roboto)

    assert made.agent_id.startswith("agt_")
    assert made.org_id == service.key.org_id
    assert made.created_by == made.modified_by == service.key.user_id
    assert (made.name, made.description) == ("triage", "Triages a dataset.")
    assert made.variables == VARIABLES
    assert made.request_template.messages[0].content == TEMPLATE.messages[0].content
    assert Agent.from_id(made.agent_id, roboto).name == "triage"
    assert Agent.from_name("triage", roboto).agent_id == made.agent_id
    assert Agent.from_name("triage", roboto, owner_org_id=made.org_id).name == "triage"
    assert Agent.from_name("triage", roboto).to_dict().keys() == made.to_dict().keys()


def test_all_that_a_template_may_say_comes_back(roboto: RobotoClient) -> None:
    template = StartAgentThreadRequest(
        client_context=ClientViewingContext(
            dataset_ids=["ds_1"], misc_context={"a": [{"b": "{{x}}"}]}, display_time_anchor_ns=7
        ),
        messages=[
            AgentMessage.text("{{x}}", AgentRole.ASSISTANT),
            AgentMessage.text("Go on."),
        ],
        system_prompt="Be {{x}}.",
        client_tools=[],
        model_profile="{{x}}",
        analysis_scope=AnalysisScope(start_time=1, end_time=2),
        goals=[],
        available_skills=[],
        visibility=ThreadVisibility.ORG,
    )

    made = Agent.create("all", template, [TemplateVariable(name="x")], roboto_client=roboto)

    sent, read = template.model_dump(), made.request_template.model_dump()
    # Times are made anew by each parse of the client: they are not on the wire.
    for message in (*sent["messages"], *read["messages"]):
        del message["created"]
    assert read == sent


@pytest.mark.parametrize("name", ["a/b c?d=e&f#g", "%2F", "Überprüfung 漢字 🦀", "..x", "a+b"])
def test_a_name_may_hold_any_printable_character(roboto: RobotoClient, name: str) -> None:
    made = create(roboto, name)

    assert Agent.from_name(name, roboto).agent_id == made.agent_id


def test_the_org_is_walked_newest_first_over_all_pages(
    service: Service, roboto: RobotoClient
) -> None:
    made = [
        Agent.create(f"agent {index}", PLAIN, roboto_client=roboto).agent_id for index in range(53)
    ]

    assert [agent.agent_id for agent in Agent.for_org(roboto_client=roboto)] == made[::-1]
    assert len(list(Agent.for_org(service.key.org_id, roboto))) == 53


def test_an_update_keeps_what_is_not_named_and_none_clears(roboto: RobotoClient) -> None:
    agent = create(roboto)
    modified = agent.modified

    agent.update(name="renamed")
    assert (agent.name, agent.description) == ("renamed", "Triages a dataset.")
    agent.update(description=None)
    assert agent.description is None
    agent.update(request_template=PLAIN, variables=[])

    assert agent.variables == []
    assert agent.modified > modified
    assert Agent.from_id(agent.agent_id, roboto).name == "renamed"


def test_a_taken_name_is_a_conflict(roboto: RobotoClient) -> None:
    create(roboto)
    other = create(roboto, "other")

    with pytest.raises(RobotoConflictException):
        create(roboto)
    with pytest.raises(RobotoConflictException):
        other.update(name="triage")


def test_bad_agents_are_invalid_requests_that_say_why(roboto: RobotoClient) -> None:
    agent = create(roboto)

    with pytest.raises(RobotoInvalidRequestException, match=r"'dataset\.id' is not declared"):
        Agent.create("undeclared", TEMPLATE, roboto_client=roboto)
    with pytest.raises(RobotoInvalidRequestException, match="'a' is not used"):
        Agent.create("unused", PLAIN, [TemplateVariable(name="a")], roboto_client=roboto)
    with pytest.raises(RobotoInvalidRequestException, match=r"'dataset\.id' is not used"):
        agent.update(request_template=PLAIN)
    with pytest.raises(RobotoInvalidRequestException, match="must be that of an object"):
        Agent.create(
            "tools",
            PLAIN.model_copy(
                update={
                    "client_tools": [
                        ClientToolSpec(
                            name="client_a", description="", input_schema={"type": "string"}
                        )
                    ]
                }
            ),
            roboto_client=roboto,
        )
    assert [agent.name for agent in Agent.for_org(roboto_client=roboto)] == ["triage"]


def test_a_deleted_agent_is_not_found(roboto: RobotoClient) -> None:
    agent = create(roboto)
    agent.delete()

    with pytest.raises(RobotoNotFoundException):
        Agent.from_id(agent.agent_id, roboto)
    with pytest.raises(RobotoNotFoundException):
        Agent.from_name("triage", roboto)
    with pytest.raises(RobotoNotFoundException):
        agent.update(name="x")
    with pytest.raises(RobotoNotFoundException):
        agent.delete()
    assert create(roboto).agent_id != agent.agent_id


def test_another_orgs_agent_is_not_found(service: Service, roboto: RobotoClient) -> None:
    agent = create(roboto)
    stranger = service.client(service.new_key(org="Other", user="eve@other.example").api_key)

    with pytest.raises(RobotoNotFoundException):
        Agent.from_id(agent.agent_id, stranger)
    with pytest.raises(RobotoNotFoundException):
        Agent.from_name("triage", stranger)
    assert list(Agent.for_org(roboto_client=stranger)) == []
    with pytest.raises(RobotoNotFoundException):
        Agent.from_name("triage", stranger, owner_org_id=agent.org_id)
    with pytest.raises(RobotoUnauthorizedException):
        list(Agent.for_org(agent.org_id, stranger))
    with pytest.raises(RobotoUnauthorizedException):
        Agent.create("x", PLAIN, caller_org_id=agent.org_id, roboto_client=stranger)


def test_a_wrong_key_and_a_reading_key_are_unauthorized(service: Service) -> None:
    reader = service.client(service.new_key(scopes=[KeyScope.READ]).api_key)

    with pytest.raises(RobotoUnauthorizedException):
        create(service.client("no-key"))
    with pytest.raises(RobotoUnauthorizedException):
        create(reader)
    assert list(Agent.for_org(roboto_client=reader)) == []
