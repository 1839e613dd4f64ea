"""What steps wait for without a worker."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("step", sa.Column("waits_for", sa.String(), nullable=True))
    with op.get_context().autocommit_block():  # turns go on while it is built
        op.create_index(
            "ix_step_waits",
            "step",
            ["waits_for"],
            postgresql_where=sa.text("waits_for IS NOT NULL AND status <> 'done'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_step_waits", "step")
    op.drop_column("step", "waits_for")
