"""API keys: made, listed and revoked; orgs and users are made with their first key."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import KeyScope
from app.access.keys import digest_key, generate_key
from app.db.models import ApiKey, Org, User
from app.errors import BadRequestError, FieldError
from app.kit.ids import new_id
from app.kit.visible import is_visible
from app.settings import Settings

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_NAME_LENGTH = 100
_EMAIL_LENGTH = 254


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key. `api_key` is shown this once: only its HMAC is stored."""

    org_id: str
    user_id: str
    key_id: str
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key without the key. `org` is the org's name, `user` the user's e-mail address."""

    key_id: str
    org_id: str
    org: str
    user_id: str
    user: str
    scopes: list[str]
    description: str | None
    created: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


async def create_key(
    db: AsyncSession,
    settings: Settings,
    *,
    org: str,
    user: str,
    scopes: Sequence[KeyScope] = (KeyScope.ADMIN,),
    expires_at: datetime | None = None,
    description: str | None = None,
) -> CreatedKey:
    """Makes a key for a user of an org; both are made if they are not there.

    Args:
        db: the transaction.
        settings: hold the secret key of the HMAC.
        org: the org's name, 1 to 100 printable characters.
        user: the user's e-mail address.
        scopes: what the key may do, at least one.
        expires_at: from then on it is refused; with a time zone. None: never.
        description: what the key is for.

    Raises:
        BadRequestError: an argument is wrong; it is named.
    """
    _refuse(
        {
            "org": _name_fault(org),
            "user": _email_fault(user),
            "scopes": None if scopes else f"At least one of {', '.join(KeyScope)}.",
            "expires_at": await _expiry_fault(db, expires_at),
            "description": _name_fault(description) if description is not None else None,
        }
    )
    org_id = await _org_id(db, org)
    user_id = await _user_id(db, org_id, user)
    key_id, api_key = generate_key()
    db.add(
        ApiKey(
            id=key_id,
            org_id=org_id,
            user_id=user_id,
            digest=digest_key(settings.security.secret_key.get_secret_value(), api_key),
            scopes=sorted({scope.value for scope in scopes}),
            description=description,
            expires_at=expires_at,
        )
    )
    await db.flush()
    return CreatedKey(org_id=org_id, user_id=user_id, key_id=key_id, api_key=api_key)


def canonical_email(email: str) -> str:
    """The address by which a user is known: its case makes no difference."""
    return email.strip(" ").lower()


async def create_user(db: AsyncSession, org_id: str, email: str) -> User:
    """The user of an org with this address, made if needed.

    Raises:
        BadRequestError: it is no e-mail address.
    """
    _refuse({"name": _email_fault(email)})
    user_id = await _user_id(db, org_id, email)
    return (await db.exec(select(User).where(User.id == user_id))).one()


async def list_keys(db: AsyncSession, *, org: str | None = None) -> list[KeyView]:
    """The keys of an org (by name), or of all, newest first; expired and revoked ones too."""
    query = (
        select(ApiKey, Org, User)
        .join(Org, col(Org.id) == col(ApiKey.org_id))
        .join(User, col(User.id) == col(ApiKey.user_id))
        .order_by(col(ApiKey.created).desc(), col(ApiKey.id).desc())
    )
    if org is not None:
        query = query.where(Org.name == org)
    return [
        KeyView(
            key_id=key.id,
            org_id=owner.id,
            org=owner.name,
            user_id=member.id,
            user=member.email,
            scopes=key.scopes,
            description=key.description,
            created=key.created,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )
        for key, owner, member in await db.exec(query)
    ]


async def revoke_key(db: AsyncSession, key_id: str) -> bool:
    """Refuses a key from now on. False: there is no such key, or it was revoked before."""
    revoked = await db.exec(
        update(ApiKey)
        .where(col(ApiKey.id) == key_id, col(ApiKey.revoked_at).is_(None))
        .values(revoked_at=func.clock_timestamp())
    )
    return bool(revoked.rowcount)


async def _org_id(db: AsyncSession, name: str) -> str:
    """The org of this name, made if needed: two at once get the same one."""
    row = {"id": new_id("org"), "name": name}
    await db.exec(insert(Org).values(row).on_conflict_do_nothing(index_elements=["name"]))
    return (await db.exec(select(Org.id).where(Org.name == name))).one()


async def _user_id(db: AsyncSession, org_id: str, email: str) -> str:
    """The user with this address, made if needed. Those of earlier times may have capitals.

    Until the end of the transaction nobody deletes it.
    """
    email = canonical_email(email)
    query = select(User.id).where(User.org_id == org_id, func.lower(User.email) == email)
    locked = query.with_for_update(read=True, key_share=True)
    if (found := (await db.exec(locked)).first()) is not None:
        return found
    row = {"id": new_id("usr"), "org_id": org_id, "email": email}
    # An update that changes nothing, for its lock: a row that was left alone may be gone by now.
    made = (
        insert(User)
        .values(row)
        .on_conflict_do_update(index_elements=["org_id", "email"], set_={"email": email})
    )
    user_id: str = (await db.exec(made.returning(col(User.id)))).scalar_one()
    return user_id


def _refuse(faults: dict[str, str | None]) -> None:
    """Raises for all faults at once, if there are any."""
    errors: list[FieldError] = [{"loc": [name], "msg": msg} for name, msg in faults.items() if msg]
    if errors:
        detail = " ".join(f"{error['loc'][0]}: {error['msg']}" for error in errors)
        raise BadRequestError(detail, errors=errors)


def _name_fault(name: str) -> str | None:
    if not is_visible(name) or name != name.strip() or not 1 <= len(name) <= _NAME_LENGTH:
        return f"1 to {_NAME_LENGTH} printable characters without spaces around them."
    return None


def _email_fault(email: str) -> str | None:
    email = email.strip(" ")
    if not is_visible(email) or len(email) > _EMAIL_LENGTH or not _EMAIL.fullmatch(email):
        return "An e-mail address."
    return None


async def _expiry_fault(db: AsyncSession, expires_at: datetime | None) -> str | None:
    if expires_at is None:
        return None
    if expires_at.tzinfo is None:
        return "A time with its zone, such as 2030-01-31T12:00:00Z."
    now: datetime = (await db.exec(select(func.clock_timestamp()))).one()
    return None if expires_at > now else "This time has passed."
