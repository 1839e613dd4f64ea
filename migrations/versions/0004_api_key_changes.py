"""A notification for each API key that is changed or deleted: processes remember keys."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION api_key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          PERFORM pg_notify('statewright_api_key', OLD.id);
          RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER api_key_changed AFTER UPDATE OR DELETE ON api_key
        FOR EACH ROW EXECUTE FUNCTION api_key_changed()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER api_key_changed ON api_key")
    op.execute("DROP FUNCTION api_key_changed()")
