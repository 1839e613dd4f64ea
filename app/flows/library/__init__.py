"""The flows that ship with the product."""

import sys

from app.flows.code.fingerprint import fingerprint
from app.flows.code.package import load_package
from app.flows.flow import Flow
from app.flows.library.chat import KEY, Chat
from app.flows.library.chat_machine import ChatMachine
from app.flows.rendering.jinja import TrustedRenderer


def code_flows(package: str | None = None) -> dict[str, Flow]:
    """All flows in code by key: the product's, and those of the user's package.

    Raises:
        FlowPackageError: something is wrong with the package; the text names every fault.
    """
    chat = Flow(
        key=KEY,
        revision=0,
        machine=ChatMachine,
        model=Chat,
        templates=ChatMachine.templates,
        renderer=TrustedRenderer(),
        trusted=True,
        description="A conversation with a model.",
        fingerprint=fingerprint(sys.modules[__name__]),
    )
    own = load_package(package, frozenset({KEY})) if package else {}
    return {KEY: chat, **own}
