"""What a client sends to start a thread, or to go on with one."""

from typing import Annotated, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from app.enums import ActionExpiry, Approvers, ThreadVisibility
from app.kit.written_order import WrittenOrder
from app.wire.budget import Budget
from app.wire.client_context import AnalysisScope, ClientViewingContext
from app.wire.client_tools import CLIENT_TOOLS, ClientTools
from app.wire.goals import Goals
from app.wire.messages import InitialMessage, UserMessage, WireModel
from app.wire.names import FLOW_KEY_PATTERN, JsonSchema, Name
from app.wire.skills import AVAILABLE_SKILLS, INVOKE_SKILLS, AvailableSkills, InvokeSkills
from app.wire.tools import TOOLS, Tools

_YEAR_SECONDS = 366 * 24 * 3600


OutputSchema: TypeAlias = JsonSchema | None
_GOALS = "What the turn must bring about; the model is asked again until it has, or has given up."
_OUTPUT_SCHEMA = (
    "The JSON Schema (2020-12) of an object that the turn must give as its output; see `output` of"
    " the thread."
)
_Said = TypeVar("_Said", list[InitialMessage], UserMessage | None)


def _turn_or_goals(said: _Said, info: ValidationInfo) -> _Said:
    """Refuses a turn in which nothing is said, nor anything to be achieved."""
    others = [info.data.get(name, "faulty") for name in ("goals", "output_schema", "invoke_skills")]
    if not said and all(other in (None, []) for other in others):
        raise ValueError("must not be empty without goals, output_schema and invoke_skills")
    return said


class StartAgentThreadRequest(WrittenOrder, WireModel):
    """Starts a thread; as an agent's request template, any text in it may hold placeholders."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"content_type": "text", "text": "What is a statechart?"}],
                    }
                ],
                "system_prompt": "Answer in one sentence.",
                "visibility": "private",
            }
        }
    )

    system_prompt: str | None = Field(
        None, description="Instructions to the model.", max_length=200_000
    )
    model_profile: Name | None = Field(None, description="Which model profile answers.")
    visibility: ThreadVisibility = Field(
        ThreadVisibility.PRIVATE, description="Who may read the thread."
    )
    flow: str = Field(
        "chat",
        description="Key of the flow that the thread runs.",
        pattern=FLOW_KEY_PATTERN,
    )
    client_context: ClientViewingContext | None = Field(
        None,
        description="What the user's client was showing. `context` is accepted as its old name.",
        validation_alias=AliasChoices("client_context", "context"),
    )
    analysis_scope: AnalysisScope | None = Field(None, description="What span of time to look at.")
    budget: Budget | None = Field(None, description="What its requests to models may take.")
    client_tools: ClientTools = Field(None, description=CLIENT_TOOLS)
    tools: Tools = Field(None, description=TOOLS)
    approvers: Approvers | None = Field(
        None, description="Who may approve calls of its tools; null: each of them."
    )
    approval_timeout: float | None = Field(
        None,
        description="Seconds that a call waits for people or clients; null: seven days.",
        gt=0,
        le=_YEAR_SECONDS,
    )
    approval_expiry: ActionExpiry | None = Field(
        None, description="What becomes of a call that nobody approved in time; null: deny."
    )
    goals: Goals = Field(None, description=_GOALS)
    output_schema: OutputSchema = Field(None, description=_OUTPUT_SCHEMA)
    invoke_skills: InvokeSkills = Field([], description=INVOKE_SKILLS)
    available_skills: AvailableSkills = Field(None, description=AVAILABLE_SKILLS)

    # Last, as its validator looks at the others.
    messages: Annotated[list[InitialMessage], AfterValidator(_turn_or_goals)] = Field(
        [],
        description="What it starts with, oldest first; with goals or skills there may be none.",
        max_length=1_000,
        validate_default=True,
    )

    @model_validator(mode="after")
    def _goals_need_chat(self) -> Self:
        if (self.goals or self.output_schema is not None) and self.flow != "chat":
            raise ValueError("only the flow chat works on goals and output_schema")
        return self


class SendMessageRequest(WireModel):
    """Says something in a thread that waits for its user."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": {
                    "role": "user",
                    "content": [{"content_type": "text", "text": "And why is that?"}],
                }
            }
        }
    )

    client_context: ClientViewingContext | None = Field(
        None,
        description="What the user's client was showing. `context` is accepted as its old name.",
        validation_alias=AliasChoices("client_context", "context"),
    )
    analysis_scope: AnalysisScope | None = Field(
        None, description="Replaces the thread's scope from here on; null keeps it."
    )
    client_tools: ClientTools = Field(None, description=CLIENT_TOOLS)
    tools: Tools = Field(None, description=TOOLS)
    goals: Goals = Field(None, description=_GOALS)
    output_schema: OutputSchema = Field(None, description=_OUTPUT_SCHEMA)
    invoke_skills: InvokeSkills = Field([], description=INVOKE_SKILLS)
    budget: Budget | None = Field(
        None,
        description="Beside the thread's: the tightest holds. Its `turn` is what this message may "
        "lead to; its `session` and `day` hold from here on.",
    )

    # Last, as its validator looks at the others.
    message: Annotated[UserMessage | None, AfterValidator(_turn_or_goals)] = Field(
        None,
        description="What the user says; with goals or skills it may be left out.",
        validate_default=True,
    )


class LaunchAgentRequest(WireModel):
    """Fills an agent's placeholders and starts a thread from the result."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"values": {"topic": "statecharts"}, "visibility": "org"}}
    )

    values: dict[str, Annotated[str, Field(max_length=1_000_000)]] = Field(
        {}, description="A value for each variable, by name. Put in as plain text.", max_length=500
    )
    visibility: ThreadVisibility = Field(
        ThreadVisibility.ORG, description="Who may read the thread; the template's is not used."
    )
    analysis_scope: AnalysisScope | None = Field(
        None, description="Each end that is set replaces the template's."
    )
    budget: Budget | None = Field(
        None, description="Beside the agent's, and the account's: the tightest holds."
    )
    output_schema: OutputSchema = Field(
        None, description=f"{_OUTPUT_SCHEMA} In place of the template's."
    )
