"""The flow `chat`: the user says something, the model answers. Threads run it."""

from typing import Any, ClassVar

from statemachine import State

from app.flows.machine import SessionMachine
from app.flows.model.session_model import SessionModel
from app.flows.template import Invoke, Render

KEY = "chat"

# The instructions, then the conversation: one YAML list of messages for the model.
_CONVERSATION = """\
{% if system_prompt %}- role: system
  content: {{ system_prompt | tojson }}
{% endif %}{{ chat_history }}"""


class ChatMachine(SessionMachine):
    """States and events are the words of the threads' wire: a thread's status is its state."""

    user_turn = State(initial=True)
    roboto_turn = State()
    client_tool_turn = State()
    goals_failed = State()

    user_message = user_turn.to(roboto_turn) | goals_failed.to(roboto_turn)
    reply = roboto_turn.to(user_turn)
    request_tools = roboto_turn.to(client_tool_turn)
    submit_results = client_tool_turn.to(roboto_turn)
    give_up = roboto_turn.to(goals_failed)

    templates: ClassVar[dict[str, Any]] = {
        "user_turn": Render("{{ actor_input }}"),
        "roboto_turn": Invoke(_CONVERSATION, "llm"),
        "client_tool_turn": Render(""),
        "goals_failed": Render(""),
    }


class Chat(SessionModel):
    """What a thread carries beside its messages."""

    machine = ChatMachine

    system_prompt: str | None = None
    model_profile: str | None = None
    client_context: dict[str, object] | None = None
    analysis_scope: dict[str, object] | None = None
