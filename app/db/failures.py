"""Which errors are failures of the database, or conflicts in it, and not faults of who asked."""

import asyncpg
from sqlalchemy.exc import DBAPIError, NoResultFound
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

from app.db.engine import DatabaseUnreachableError

# Classes of SQLSTATE: the first two characters.
_FAILURE_CLASSES = {
    "08",  # the connection broke
    "28",  # the role or its password is not accepted
    "3D",  # the database is not there
    "40",  # deadlock, serialization: another transaction won
    "53",  # disk, memory or connections are used up
    "57",  # cancelled, or the server stops, starts or recovers
    "58",  # input and output of the server's machine
    "72",  # the snapshot is too old
    "F0",  # the server's configuration
    "XX",  # a fault inside the server
}
_FAILURE_STATES = {
    "25006",  # read-only, as after a failover
    "25P03",  # idle for too long in a transaction
    "25P04",  # the transaction took too long
    "26000",  # a pooler gave the connection to somebody else, with the prepared statements
    "42P05",
    "55006",  # in use by another session
    "55P03",  # lock_timeout
    # Tables or rights of another release: a migration comes, or went too far ahead.
    "3F000",
    "42501",
    "42703",
    "42883",
    "42P01",
}
_CLIENT_ERRORS = (DatabaseUnreachableError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_WRITE_CONFLICTS = (
    asyncpg.ForeignKeyViolationError,
    asyncpg.UniqueViolationError,
    NoResultFound,
    StaleDataError,
)


def is_database_failure(error: BaseException) -> bool:
    """Whether the same statement may succeed later: neither it nor its values were at fault.

    True for what asyncpg, SQLAlchemy or the network raise when the database is not reachable,
    hung, full, read-only, busy, locked, or not of this release. False for broken constraints,
    values that do not fit and SQL that is wrong: those are the caller's, or a bug of ours.
    """
    if isinstance(error, PoolTimeoutError):
        return True
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig else None
        return error.connection_invalidated or (cause is not None and is_database_failure(cause))
    if isinstance(error, asyncpg.PostgresError):
        return _is_failure_state(error)
    # Of asyncpg's errors that are ValueErrors, a value or an option was the cause. An OSError is
    # anybody's: the database's own ones come as DatabaseUnreachableError.
    return isinstance(error, _CLIENT_ERRORS) and not isinstance(error, ValueError)


def is_statement_timeout(error: BaseException) -> bool:
    """Whether PostgreSQL ended a statement because it took longer than it may."""
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig else None
        return cause is not None and is_statement_timeout(cause)
    return isinstance(error, asyncpg.QueryCanceledError)


def is_write_conflict(error: BaseException) -> bool:
    """Whether a row that a transaction had seen, or not seen, was deleted or made by another one.

    True for references to rows that are gone, for names that are taken since, and for rows that
    are not there any more when they are changed or read again.
    """
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig else None
        return cause is not None and is_write_conflict(cause)
    return isinstance(error, _WRITE_CONFLICTS)


def _is_failure_state(error: asyncpg.PostgresError) -> bool:
    state = error.sqlstate or ""
    return (
        state[:2] in _FAILURE_CLASSES
        or state in _FAILURE_STATES
        # The tables changed under a prepared statement: it is prepared anew.
        or isinstance(error, asyncpg.InvalidCachedStatementError)
    )
