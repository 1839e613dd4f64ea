"""What statecharts keep beside the state: timers that run, and where histories lead back to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "session", sa.Column("chart", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.add_column("session", sa.Column("timer_due", sa.DateTime(timezone=True), nullable=True))
    op.add_column("transition", sa.Column("refusal", sa.String(), nullable=True))
    with op.get_context().autocommit_block():  # turns go on while it is built
        op.create_index(
            "ix_session_timer",
            "session",
            ["timer_due"],
            postgresql_where=sa.text("timer_due IS NOT NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_session_timer", "session")
    op.drop_column("transition", "refusal")
    op.drop_column("session", "timer_due")
    op.drop_column("session", "chart")
