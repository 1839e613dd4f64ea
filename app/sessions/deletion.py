"""Deleting a session: at once, or piece by piece where it is long."""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.sessions.store.sql import expire_sql

LONG = 1_000  # rows that one statement deletes in a moment


async def end_if_long(db: AsyncSession, session_id: str, most: int = LONG) -> bool:
    """Has a session be over now, if it is too long to be deleted in one statement.

    From then on it is there for nobody, and neither is what its steps started; workers delete it
    as they delete what has expired, piece by piece.

    Args:
        db: the transaction.
        session_id: the session.
        most: rows that it may have, with all that its steps started, to be deleted at once.

    Returns:
        Whether it was; a shorter one is left as it is.
    """
    connection = await db.connection()
    found = await connection.exec_driver_sql(expire_sql.IS_LONG, (session_id, most))
    if not found.scalar_one():
        return False
    await connection.exec_driver_sql(expire_sql.END, (session_id,))
    return True
