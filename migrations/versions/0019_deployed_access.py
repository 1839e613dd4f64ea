"""Users and API keys that are undeployed are refused; the keys of a user are notified of it."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("user", "api_key"):
        op.add_column(
            table,
            sa.Column("deployed", sa.Boolean(), nullable=False, server_default=sa.text("true")),
        )
    op.execute(
        """
        CREATE FUNCTION user_deployed_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          PERFORM pg_notify('statewright_api_key', id) FROM api_key WHERE user_id = OLD.id;
          RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER user_deployed_changed AFTER UPDATE OF deployed ON "user"
        FOR EACH ROW EXECUTE FUNCTION user_deployed_changed()
        """
    )


def downgrade() -> None:
    op.execute('DROP TRIGGER user_deployed_changed ON "user"')
    op.execute("DROP FUNCTION user_deployed_changed()")
    for table in ("api_key", "user"):
        op.drop_column(table, "deployed")
