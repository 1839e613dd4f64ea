"""Words that tables, engines and the wire share: what may be written in a column of text."""

from enum import StrEnum


class StepKind(StrEnum):
    """What a step is: a leaf is rendered and invoked, a composite waits for its children."""

    LEAF = "leaf"
    CHAIN = "chain"
    PARALLEL = "parallel"
    MAP = "map"


class ThreadVisibility(StrEnum):
    """Who may read a thread: its creator, or everybody in the org."""

    PRIVATE = "private"
    ORG = "org"


class MessageRole(StrEnum):
    """Who speaks in a dialogue; `roboto` is the wire's word for the service itself."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"  # only in rows that flows of earlier releases left
    ROBOTO = "roboto"


class ActionKind(StrEnum):
    """What is asked of people or clients before a turn goes on."""

    APPROVAL = "approval"  # may the call be made?
    CLIENT_TOOL = "client_tool"  # a call that a client makes
    UNKNOWN_OUTCOME = "unknown_outcome"  # of a call: was it done?
    INPUT = "input"  # the answer that a step of a flow asks for
    BUDGET = "budget"  # is used up: may the turn take more?


class ActionStatus(StrEnum):
    """Whether an action waits, or how it ended."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    ANSWERED = "answered"
    EXPIRED = "expired"
    CANCELLED = "cancelled"  # the turn went on, or ended, without it


class ActionDecision(StrEnum):
    """What is decided about an action."""

    APPROVE = "approve"
    DENY = "deny"
    ANSWER = "answer"


class ActionExpiry(StrEnum):
    """What becomes of a call whose action nobody resolved in time."""

    DENY = "deny"
    FAIL = "fail"
    CANCEL = "cancel"  # the whole turn ends


class Approvers(StrEnum):
    """Who may resolve the actions of a session."""

    OWNER = "owner"  # who started it
    SCOPE = "scope"  # whose key has the scope `approve`
    ADMIN = "admin"  # whose key has the scope `admin`


class BudgetScope(StrEnum):
    """Who set a budget, and so who may raise it."""

    REQUEST = "request"  # who started the session, or sent the message
    AGENT = "agent"
    ACCOUNT = "account"


class Quota(StrEnum):
    """What an org may have only so much of."""

    RUNNING_STEPS = "running_steps"
    STORED_BYTES = "stored_bytes"
    SESSIONS = "sessions"
    FLOWS = "flows"
    AGENTS = "agents"
    SKILLS = "skills"
    SECRETS = "secrets"
    KEYS = "keys"
    RESOURCES = "resources"
