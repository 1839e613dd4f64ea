"""The flows that ship with the product, and those of the user's package."""

from app.flows.flow import Flow
from app.flows.jinja import TrustedRenderer
from app.flows.library.chat import KEY, Chat, ChatMachine


def code_flows() -> dict[str, Flow]:
    """All flows in code, by key."""
    chat = Flow(
        key=KEY,
        revision=0,
        machine=ChatMachine,
        model=Chat,
        templates=ChatMachine.templates,
        renderer=TrustedRenderer(),
        trusted=True,
        description="A conversation with a model.",
    )
    return {chat.key: chat}
