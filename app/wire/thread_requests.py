"""What a client sends to start a thread, or to go on with one."""

from typing import Annotated, Any, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from app.enums import ActionExpiry, Approvers, ThreadVisibility
from app.kit.written_order import WrittenOrder
from app.wire.budget import Budget
from app.wire.goals import Goals
from app.wire.messages import InitialMessage, ResultStatus, UserMessage, WireModel
from app.wire.names import FLOW_KEY_PATTERN, JsonSchema, Name
from app.wire.tools import TOOLS, Tools

_INT64 = 2**63 - 1
_YEAR_SECONDS = 366 * 24 * 3600


Ids: TypeAlias = Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=1_000)]
Nanoseconds: TypeAlias = Annotated[int, Field(ge=-_INT64, le=_INT64)]


class ClientViewingContext(WrittenOrder, WireModel):
    """What the user's client was showing. For the model to read; it allows and forbids nothing."""

    dataset_ids: Ids = Field([], description="Datasets in view.")
    file_ids: Ids = Field([], description="Files in view.")
    collection_ids: Ids = Field([], description="Collections in view.")
    device_ids: Ids = Field([], description="Devices in view.")
    device_type_ids: Ids = Field([], description="Device types in view.")
    session_ids: Ids = Field([], description="Recording sessions in view.")
    view_ids: Ids = Field([], description="Saved searches in view.")
    table_state: dict[str, Any] | None = Field(None, description="The table on screen.")
    display_time_anchor_ns: Nanoseconds | None = Field(
        None, description="The instant shown as zero, in nanoseconds since 1970 (UTC)."
    )
    display_time_anchor_label: str | None = Field(
        None, description="What the client calls that instant.", max_length=1_000
    )
    visualizer_state: dict[str, Any] | None = Field(None, description="The visualizer on screen.")
    misc_context: dict[str, Any] | None = Field(None, description="Anything else.")


class AnalysisScope(WrittenOrder, WireModel):
    """The span of time that the agent should look at; null leaves an end open."""

    start_time: Nanoseconds | None = Field(
        None, description="First instant, in nanoseconds since 1970 (UTC)."
    )
    end_time: Nanoseconds | None = Field(
        None, description="Last instant, in nanoseconds since 1970 (UTC)."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        start, end = self.start_time, self.end_time
        if start is not None and end is not None and start > end:
            raise ValueError("start_time must not be after end_time")
        return self

    def merge(self, override: "AnalysisScope") -> "AnalysisScope":
        """This scope with each end that `override` sets replaced; the result must be in order."""
        return AnalysisScope.model_validate(
            self.model_dump() | override.model_dump(exclude_none=True)
        )


class ClientToolSpec(WrittenOrder, WireModel):
    """A tool that the client runs when the model calls it."""

    name: str = Field(
        description="What the model calls it by.",
        pattern=r"^client_[a-z][a-z0-9_]*$",
        max_length=64,
        examples=["client_read_file"],
    )
    description: str = Field(description="What it does, for the model to read.", max_length=20_000)
    input_schema: JsonSchema = Field(
        description="The JSON Schema (2020-12) of its arguments, an object."
    )


def _unique_names(tools: list[ClientToolSpec] | None) -> list[ClientToolSpec] | None:
    names = [tool.name for tool in tools or []]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two tools are named {twice!r}")
    return tools


ClientTools: TypeAlias = Annotated[
    list[ClientToolSpec] | None, Field(max_length=128), AfterValidator(_unique_names)
]
OutputSchema: TypeAlias = JsonSchema | None
_GOALS = "What the turn must bring about; the model is asked again until it has, or has given up."
_OUTPUT_SCHEMA = (
    "The JSON Schema (2020-12) of an object that the turn must give as its output; see `output` of"
    " the thread."
)
_CLIENT_TOOLS = (
    "Tools that the client runs, from here on; one replaces that of the same name. Null adds none."
)


class SkillSpec(WireModel):
    """A version of a skill."""

    skill_id: str = Field(
        description="Id of the skill.", max_length=100, examples=["sk_01k8zq5d3v"]
    )
    version: int | None = Field(
        None, description="Which version; null for the latest.", ge=1, lt=2**31
    )


def _each_once(skills: list[SkillSpec] | None) -> list[SkillSpec] | None:
    ids = [skill.skill_id for skill in skills or []]
    if twice := next((one for one in ids if ids.count(one) > 1), None):
        raise ValueError(f"skill {twice!r} is named twice")
    return skills


InvokeSkills: TypeAlias = Annotated[
    # The published client cannot read null here.
    list[SkillSpec],
    BeforeValidator(lambda value: [] if value is None else value),
    Field(max_length=100),
    AfterValidator(_each_once),
]
AvailableSkills: TypeAlias = Annotated[
    list[SkillSpec] | None, Field(max_length=100), AfterValidator(_each_once)
]
_INVOKE_SKILLS = "Skills that the model is given behind the message, as if it had loaded them."
_AVAILABLE_SKILLS = (
    "Skills that the model may load, kept as they are now. Null: those that who sends a message is"
    " subscribed to. Empty: none."
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
    client_tools: ClientTools = Field(None, description=_CLIENT_TOOLS)
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
    invoke_skills: InvokeSkills = Field([], description=_INVOKE_SKILLS)
    available_skills: AvailableSkills = Field(None, description=_AVAILABLE_SKILLS)

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
    client_tools: ClientTools = Field(None, description=_CLIENT_TOOLS)
    tools: Tools = Field(None, description=TOOLS)
    goals: Goals = Field(None, description=_GOALS)
    output_schema: OutputSchema = Field(None, description=_OUTPUT_SCHEMA)
    invoke_skills: InvokeSkills = Field([], description=_INVOKE_SKILLS)
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


class ClientToolResult(WireModel):
    """What a tool of the client's gave back."""

    tool_use_id: str = Field(description="The call that this answers.", max_length=100)
    tool_name: str = Field(description="The tool; that of the call counts.", max_length=200)
    runtime_ms: int = Field(
        description="How long it ran, in milliseconds.", ge=0, le=_INT64, examples=[12]
    )
    status: ResultStatus = Field(description="How it ended.")
    output: dict[str, Any] | None = Field(None, description="What it gave back, for the model.")


class SubmitToolResultsRequest(WireModel):
    """Results of calls that the client made; some of those that are open, or all."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "tool_results": [
                    {
                        "tool_use_id": "tu_01k8zq5d3v",
                        "tool_name": "client_read_file",
                        "runtime_ms": 12,
                        "status": "success",
                        "output": {"result": "Hello."},
                    }
                ]
            }
        }
    )

    tool_results: list[ClientToolResult] = Field(
        description="At most one for each call.", max_length=128
    )
    client_tools: ClientTools = Field(None, description=_CLIENT_TOOLS)


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
