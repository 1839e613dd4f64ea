"""One sweep of a queue at a time, and indexes that make its cost flat in the waiting steps."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "queue_sweep",
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column(
            "swept_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_queue_sweep")),
    )
    with op.get_context().autocommit_block():  # turns go on while they are built
        op.create_index(
            "ix_step_queued",
            "step",
            ["queue", "published_at"],
            postgresql_where="status = 'queued'",
            postgresql_concurrently=True,
        )
        op.create_index(
            "ix_step_running",
            "step",
            ["queue", "lease_until"],
            postgresql_where="status = 'running'",
            postgresql_concurrently=True,
        )
        op.drop_index("ix_step_due", table_name="step", postgresql_concurrently=True)


def downgrade() -> None:
    op.create_index(
        "ix_step_due",
        "step",
        ["run_after"],
        postgresql_where="status IN ('queued', 'running')",
    )
    op.drop_index("ix_step_running", table_name="step")
    op.drop_index("ix_step_queued", table_name="step")
    op.drop_table("queue_sweep")
