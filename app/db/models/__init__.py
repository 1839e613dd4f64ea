"""The tables, one per file. Importing this package registers them all with `SQLModel.metadata`."""

from app.db.models.access.api_key import ApiKey
from app.db.models.access.org import Org
from app.db.models.access.user import User
from app.db.models.agent import Agent
from app.db.models.agent_revision import AgentRevision
from app.db.models.dataset_event import DatasetEvent
from app.db.models.entity import Entity
from app.db.models.flow_revision import FlowRevision
from app.db.models.journal import JournalEntry
from app.db.models.resource import Resource
from app.db.models.secret import Secret
from app.db.models.sessions.action import Action
from app.db.models.sessions.budget_reservation import BudgetReservation
from app.db.models.sessions.event import Event
from app.db.models.sessions.feedback import Feedback
from app.db.models.sessions.goal import Goal
from app.db.models.sessions.invocation import Invocation, InvocationStatus
from app.db.models.sessions.message import Message, MessageStatus
from app.db.models.sessions.model_usage import ModelUsage
from app.db.models.sessions.pin import Pin
from app.db.models.sessions.queue_sweep import QueueSweep
from app.db.models.sessions.session import Session
from app.db.models.sessions.session_value import SessionValue
from app.db.models.sessions.step import Step, StepStatus
from app.db.models.sessions.transition import Transition
from app.db.models.skills.skill import Skill, SkillAccessibility
from app.db.models.skills.skill_subscription import SkillSubscription
from app.db.models.skills.skill_version import SkillVersion
from app.db.models.stored_answer import StoredAnswer

__all__ = [
    "Action",
    "Agent",
    "AgentRevision",
    "ApiKey",
    "BudgetReservation",
    "DatasetEvent",
    "Entity",
    "Event",
    "Feedback",
    "FlowRevision",
    "Goal",
    "Invocation",
    "InvocationStatus",
    "JournalEntry",
    "Message",
    "MessageStatus",
    "ModelUsage",
    "Org",
    "Pin",
    "QueueSweep",
    "Resource",
    "Secret",
    "Session",
    "SessionValue",
    "Skill",
    "SkillAccessibility",
    "SkillSubscription",
    "SkillVersion",
    "Step",
    "StepStatus",
    "StoredAnswer",
    "Transition",
    "User",
]
