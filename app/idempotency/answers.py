"""The answers of requests with a key, each written in the transaction of what the request did."""

import base64
import hmac
import json
from dataclasses import dataclass

from pydantic import SecretStr
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.crypto import DecryptionError, SecretLocation, Vault
from app.db.models import StoredAnswer
from app.errors import AnswerNotKeptError, RequestInProgressError
from app.idempotency.request import KeyedRequest, check_same
from app.kit.ids import new_id
from app.settings import Settings

ID_PREFIX = "ans"
_KEY_ID = "a1"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a request was answered: the status and the text, which is JSON or empty."""

    status: int
    text: str


class Answers:
    """The stored answers of one database.

    They are encrypted, as an answer may show what is shown only once, by a key that is made of
    the secret key of the settings: every service has one.
    """

    def __init__(self, settings: Settings) -> None:
        secret = settings.security.secret_key.get_secret_value().encode()
        key = base64.b64encode(hmac.digest(secret, b"stored answers", "sha256")).decode()
        self._vault = Vault([SecretStr(f"{_KEY_ID}:{key}")])
        self._max_bytes = settings.idempotency.max_answer_bytes

    async def find(self, db: AsyncSession, request: KeyedRequest) -> KeptAnswer | None:
        """What the request was answered before; None: it is to be done now, in this transaction.

        Raises:
            RequestInProgressError: the same key is at work in another transaction.
            IdempotencyMismatchError: the key came before, with another request.
            AnswerNotKeptError: the request was done before, but its answer is not there any more.
        """
        name = json.dumps(["answer", request.org_id, request.user_id, request.key])
        lock = func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0))
        if not (await db.exec(select(lock))).one():
            raise RequestInProgressError(
                "A request with this idempotency key is being carried out; try again.",
                retry_after=1,
            )
        # A statement of its own: it sees what was written until the lock was there.
        of_key = (
            StoredAnswer.org_id == request.org_id,
            StoredAnswer.user_id == request.user_id,
            StoredAnswer.key == request.key,
        )
        row = (await db.exec(select(StoredAnswer).where(*of_key))).one_or_none()
        if row is None:
            return None
        check_same(row.request_hash, request.request_hash)
        return KeptAnswer(row.status, self._read(request, row))

    async def keep(self, db: AsyncSession, request: KeyedRequest, answer: KeptAnswer) -> None:
        """Writes the answer of a request, in the transaction in which it was looked for."""
        sealed = None
        if len(answer.text.encode()) <= self._max_bytes:
            _, sealed = self._vault.encrypt(answer.text, _place(request))
        written = {"status": answer.status, "answer": sealed}
        row = insert(StoredAnswer).values(
            id=new_id(ID_PREFIX),
            org_id=request.org_id,
            user_id=request.user_id,
            key=request.key,
            request_hash=request.request_hash,
            **written,
        )
        of_key = ["org_id", "user_id", "key"]
        await db.exec(row.on_conflict_do_update(index_elements=of_key, set_=written))

    def _read(self, request: KeyedRequest, row: StoredAnswer) -> str:
        if row.answer is None:
            raise AnswerNotKeptError(
                "The request was carried out; its answer was too large to be kept."
            )
        try:
            return self._vault.decrypt(_KEY_ID, row.answer, _place(request))
        except DecryptionError:  # the secret key was changed since
            raise AnswerNotKeptError(
                "The request was carried out; its answer cannot be read any more."
            ) from None


def _place(request: KeyedRequest) -> SecretLocation:
    return SecretLocation(request.org_id, "answer", f"{request.user_id}/{request.key}")
