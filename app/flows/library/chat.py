"""The flow `chat`: the user speaks, the model answers and may call tools. Threads run it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field, computed_field
from typing_extensions import override

from app.enums import ActionExpiry, Approvers
from app.flows.library.asking import DEFAULT_SECONDS, Asking
from app.flows.library.budget_action import PendingBudget
from app.flows.library.chat_machine import ChatMachine
from app.flows.library.conversation import chat_messages
from app.flows.library.skills import (
    LOAD_SKILL,
    InvokedSkill,
    KnownSkill,
    SkillBody,
    load_skill_tool,
)
from app.flows.library.thread_tools import MAX_TOOLS, check_tools, read_client_tools
from app.flows.library.tool_use import OfferedTool, Runs, ToolUse, runnable
from app.flows.model.session_model import SessionModel
from app.flows.template import Spoken
from app.goals.kinds import declared_goals
from app.goals.turn import GoalChange, TurnGoals
from app.invokers.chat import ChatRequest, ChatTool
from app.invokers.invoker import ToolCall
from app.invokers.llm import BUILT_IN_PROFILES
from app.invokers.tool import ServerCall, ServerTool
from app.kit.schemas.json_schema import object_schema
from app.wire.client_tools import ClientToolSpec

KEY = "chat"

# The most requests to the model that one message of the user's leads to, where no budget says.
DEFAULT_MAX_STEPS = 25

_SKILL_KEY = "skill:{}"


class Chat(SessionModel):
    """What a thread carries beside its messages.

    Attributes:
        approvers: who may resolve its actions; None: each of them.
        approval_timeout: seconds that an action waits.
        approval_expiry: what becomes of a call that nobody approved in time.
        client_tools: those that the client runs, by name.
        server_tools: those that the service runs, by name, as they were when they were declared.
        skills: those that the model may load, by name.
        skills_are_fixed: whether they were listed at the start; else each message brings those that
            its sender is subscribed to.
        invoked_skills: those of the user's message at hand.
        tool_use: the open calls of the last answer.
        next_goals: those that the user's next message declares, as (kind, data).
        goals: those of the turn.
        goal_count: how many the thread has had.
        steps: how many requests to the model the turn has made.
        max_steps: how many a turn may make; None where a budget says.
        budget_action: what the turn waits for whose budget is used up.
    """

    machine = ChatMachine

    system_prompt: str | None = None
    model_profile: str | None = None
    client_context: dict[str, object] | None = None
    analysis_scope: dict[str, object] | None = None
    approvers: Approvers | None = None
    approval_timeout: float = DEFAULT_SECONDS
    approval_expiry: ActionExpiry = ActionExpiry.DENY
    client_tools: dict[str, ClientToolSpec] = Field(default_factory=dict)
    server_tools: dict[str, ServerTool] = Field(default_factory=dict)
    skills: dict[str, KnownSkill] = Field(default_factory=dict)
    skills_are_fixed: bool = False
    invoked_skills: list[InvokedSkill] = Field(default_factory=list)
    tool_use: ToolUse = ToolUse()
    next_goals: list[tuple[str, dict[str, Any]]] = Field(default_factory=list)
    goals: TurnGoals = TurnGoals()
    goal_count: int = 0
    steps: int = 0
    max_steps: int | None = DEFAULT_MAX_STEPS
    budget_action: PendingBudget | None = None

    @computed_field
    def server_calls(self) -> list[dict[str, Any]]:
        """The open calls that the service makes now."""
        calls = self.tool_use.calls
        return [
            call.model_dump(mode="json") | {"calls": calls} for call in runnable(self.tool_use.open)
        ]

    @property
    def profile(self) -> str:
        """What answers: a built-in model or a Provider."""
        profile = self.model_profile or "default"
        return BUILT_IN_PROFILES.get(profile, profile)

    @property
    def about(self) -> dict[str, Any]:
        """What the user's client shows and the span of time to look at, where they are known."""
        known = {"client_context": self.client_context, "analysis_scope": self.analysis_scope}
        return {name: value for name, value in known.items() if value}

    @property
    def asking(self) -> Asking:
        """How people are asked about calls."""
        return Asking(self.approvers, self.approval_timeout, self.approval_expiry)

    def offered(self) -> dict[str, OfferedTool]:
        """The tools that the model is offered, by name."""
        client = {
            name: OfferedTool(name, tool.input_schema, Runs.CLIENT, self.asking)
            for name, tool in self.client_tools.items()
        }
        server = {
            name: OfferedTool(
                name,
                tool.input_schema,
                Runs.SESSION if tool.runs_session else Runs.SERVER,
                replace(self.asking, seconds=tool.approval_timeout or self.approval_timeout),
                tool.approval,
            )
            for name, tool in self._run_here().items()
        }
        here = {
            one.tool: OfferedTool(one.tool, one.goal.input_schema, Runs.NOTHING, self.asking)
            for one in self.goals.open
        }
        return client | server | here

    def begin_goals(self) -> list[GoalChange]:
        """Makes the goals that were declared those of the turn."""
        self.goals = TurnGoals.declared(self.next_goals, self.goal_count, self.analysis_scope)
        self.goal_count += len(self.next_goals)
        self.next_goals = []
        return [GoalChange(goal, new=True) for goal in self.goals.goals]

    def _run_here(self) -> dict[str, ServerTool]:
        """The tools that the service runs, by name."""
        if not self.skills:
            return self.server_tools
        return self.server_tools | {LOAD_SKILL: load_skill_tool(self.skills)}

    def request(self, dialogue: Sequence[Spoken]) -> ChatRequest:
        """What the model is asked next."""
        messages = chat_messages(
            dialogue,
            system_prompt=self.system_prompt,
            context=self.about,
            goals=self.goals.prompt(),
            reminder=self.goals.reminder,
        )
        client = [
            _spec(tool.name, tool.description, tool.input_schema)
            for tool in self.client_tools.values()
        ]
        server = [
            _spec(tool.name, tool.description, tool.input_schema)
            for tool in self._run_here().values()
            if self.goals.of_tool(tool.name) is None
        ]
        achieve = [
            _spec(one.tool, "Achieves a goal of the turn.", one.goal.input_schema)
            for one in self.goals.open
        ]
        must_call = tuple(tool.name for tool in achieve) if self.goals.reminder else ()
        return ChatRequest(messages, (*client, *server, *achieve), must_call)

    def server_call(self, item: dict[str, Any]) -> ServerCall:
        """A call in `server_calls`, as it is made."""
        call = ToolCall(item["id"], item["name"], item["arguments"])
        if call.name == LOAD_SKILL and self.skills:
            return ServerCall(self._skill_of(item["arguments"]["name"]), call)
        return ServerCall(self.server_tools[call.name], call, self.about)

    def _skill_of(self, name: str) -> ServerTool:
        """The tool `load_skill`, with what it is to load."""
        skill = self.skills[name]
        kept = self.secondary_store.get(_SKILL_KEY.format(name))
        config = {"text": kept.text} if isinstance(kept, SkillBody) else skill.model_dump()
        return load_skill_tool(self.skills).model_copy(update={"config": config})

    @classmethod
    @override
    def own_fields(cls) -> frozenset[str]:
        # What a turn keeps for itself is nobody else's to set.
        return super().own_fields() - {
            "server_tools",
            "skills",
            "skills_are_fixed",
            "invoked_skills",
            "tool_use",
            "next_goals",
            "goals",
            "goal_count",
            "steps",
            "max_steps",
            "budget_action",
        }

    @classmethod
    @override
    def seed(cls, seed_data: dict[str, Any]) -> "Chat":
        chat = super().seed({k: v for k, v in seed_data.items() if k != "client_tools"})
        chat.update({"client_tools": seed_data.get("client_tools")})
        return chat

    @override
    def update(self, values: dict[str, Any]) -> None:
        """Takes over what a message brings; tools are added, or replaced by name."""
        super().update({k: v for k, v in values.items() if k != "client_tools"})
        client = read_client_tools(values.get("client_tools") or [])
        self.client_tools = self.client_tools | {tool.name: tool for tool in client}
        server = values.get("server_tools") or []
        self.server_tools = self.server_tools | {tool.name: tool for tool in server}
        self.max_steps = values.get("max_steps", self.max_steps)
        self._take_skills(values)
        self.next_goals = declared_goals(values)
        own = len(self.next_goals) + (self.skills_are_fixed and bool(self.skills))
        check_tools(self.client_tools, self.server_tools, own)
        if not self.skills_are_fixed and self._tool_count == MAX_TOOLS:
            self.skills = {}  # nobody asked for them: there is no room for the tool

    @property
    def _tool_count(self) -> int:
        """How many tools there are without that of the skills."""
        return len(self.client_tools) + len(self.server_tools) + len(self.next_goals)

    @override
    def resume(self) -> bool:
        """Leaves out calls that waited for somebody: they were ended, and their actions closed."""
        resumed = self.tool_use.resumed()
        is_changed = resumed != self.tool_use
        self.tool_use = resumed
        return is_changed

    def _take_skills(self, values: dict[str, Any]) -> None:
        self.invoked_skills = [
            InvokedSkill(name=skill.name, body=skill.body)
            for skill in values.get("invoked_skills", [])
        ]
        if (fixed := values.get("fixed_skills")) is not None:
            self.skills, self.skills_are_fixed = _skills_by_name(fixed), True
            for skill in fixed:
                key = _SKILL_KEY.format(skill.name)
                if key not in self.secondary_store:
                    self.secondary_store[key] = SkillBody(text=skill.body)
        elif not self.skills_are_fixed and "subscribed_skills" in values:
            self.skills = _skills_by_name(values["subscribed_skills"])


def _spec(name: str, description: str, input_schema: dict[str, Any]) -> ChatTool:
    return ChatTool(name, description, object_schema(input_schema))


def _skills_by_name(skills: Iterable[Any]) -> dict[str, KnownSkill]:
    """Skills by name; of two of one name the first."""
    known: dict[str, KnownSkill] = {}
    for skill in skills:
        one = KnownSkill(
            skill_id=skill.skill_id, version=skill.version, description=skill.description
        )
        known.setdefault(skill.name, one)
    return known
