"""Rotation: encrypts every stored secret with the newest key, so that older keys can go."""

from sqlmodel import col, select

from app.access.crypto import SecretLocation, Vault
from app.db.engine import Database
from app.db.models import Secret

_BATCH = 100


async def rotate_secrets(database: Database, vault: Vault) -> int:
    """Encrypts all secrets anew that another key than the first one of the settings encrypted.

    May be run while the service runs, again, and by several at once. Their versions stay: nothing
    changes that a manifest says.

    Returns:
        How many were encrypted anew.

    Raises:
        DecryptionError: the settings do not have the key of one of them; those before it are done.
        EncryptionKeyError: the settings have no key.
    """
    done = 0
    while rotated := await _rotate_some(database, vault):
        done += rotated
    return done


async def _rotate_some(database: Database, vault: Vault) -> int:
    async with database.transaction() as db:
        query = (
            select(Secret)
            .where(col(Secret.key_id) != vault.key_id)
            .order_by(col(Secret.id))
            .limit(_BATCH)
            .with_for_update()
        )
        rows = (await db.exec(query)).all()
        for row in rows:
            place = SecretLocation(row.org_id, "Secret", row.name)
            text = vault.decrypt(row.key_id, row.ciphertext, place)
            row.key_id, row.ciphertext = vault.encrypt(text, place)
        return len(rows)
