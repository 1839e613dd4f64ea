"""Who may see, edit and own a skill. Nothing else decides it."""

from typing import Any

from sqlalchemy import ColumnElement, and_, or_
from sqlmodel import col

from app.access.caller import Caller
from app.db.models import Skill, SkillAccessibility
from app.errors import ForbiddenError


def visible_to(caller: Caller) -> ColumnElement[bool]:
    """The condition that the caller sees a skill: the org's, and the caller's private ones."""
    return and_(
        col(Skill.org_id) == caller.org_id,
        or_(
            col(Skill.accessibility) != SkillAccessibility.PRIVATE,
            col(Skill.created_by) == caller.user_id,
        ),
    )


def own_private_first() -> ColumnElement[Any]:
    """Orders skills of one name: the caller's own private one wins over the org's."""
    return (col(Skill.accessibility) == SkillAccessibility.PRIVATE).desc()


def check_editable(caller: Caller, skill: Skill) -> None:
    """Requires that the caller may change the name, tags and versions of a skill that it sees.

    Raises:
        ForbiddenError: only the author may.
    """
    if skill.accessibility is not SkillAccessibility.ORG_EDITABLE:
        check_author(caller, skill, "edits it")


def check_author(caller: Caller, skill: Skill, what: str) -> None:
    """Requires that the caller is the author.

    Args:
        caller: who asks.
        skill: that the caller sees.
        what: what only the author does, for the error.

    Raises:
        ForbiddenError: the caller is not.
    """
    if skill.created_by != caller.user_id:
        raise ForbiddenError(f"Skill {skill.name!r} is another user's: only its author {what}.")
