"""What becomes of a user's skills when the user is deleted."""

from sqlalchemy import update
from sqlmodel import col, delete
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Skill, SkillAccessibility, SkillSubscription


async def replace_author(db: AsyncSession, caller: Caller, user_id: str) -> None:
    """Makes the caller the author of a user's skills, and deletes the private ones.

    Nobody could see the private ones any more, and nobody could delete the others.

    Args:
        db: the transaction.
        caller: who deletes the user.
        user_id: of the user, in the caller's org.
    """
    authored = (col(Skill.org_id) == caller.org_id, col(Skill.created_by) == user_id)
    private = col(Skill.accessibility) == SkillAccessibility.PRIVATE
    await db.exec(delete(Skill).where(*authored, private))
    await db.exec(update(Skill).where(*authored).values(created_by=caller.user_id))
    await db.exec(
        delete(SkillSubscription).where(
            col(SkillSubscription.org_id) == caller.org_id,
            col(SkillSubscription.user_id) == user_id,
        )
    )
