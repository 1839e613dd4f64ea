"""What steps failed and lost, until when an invocation may run, and what it can resume from."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("failures", "losses"):
        op.add_column("step", sa.Column(column, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("invocation", sa.Column("deadline", sa.DateTime(timezone=True), nullable=True))
    op.add_column("invocation", sa.Column("model", sa.LargeBinary(), nullable=True))
    with op.get_context().autocommit_block():  # turns go on while it is built
        op.create_index(
            "ix_invocation_deadline",
            "invocation",
            ["deadline"],
            postgresql_where=sa.text("status = 'running'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_invocation_deadline", "invocation")
    op.drop_column("invocation", "model")
    op.drop_column("invocation", "deadline")
    op.drop_column("step", "losses")
    op.drop_column("step", "failures")
