"""What requests to models took, and may take."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_usage",
        sa.Column("step_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("org_id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("session_version", sa.Integer(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=True),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("cost", sa.Numeric(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column(
            "created",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("step_id", "attempt", name=op.f("pk_model_usage")),
    )
    op.create_table(
        "budget_reservation",
        sa.Column("step_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("org_id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("session_version", sa.Integer(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Numeric(), nullable=True),
        sa.ForeignKeyConstraint(
            ["step_id"],
            ["step.id"],
            name=op.f("fk_budget_reservation_step_id_step"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("step_id", "attempt", name=op.f("pk_budget_reservation")),
    )
    op.create_index("ix_budget_reservation_org", "budget_reservation", ["org_id"])
    op.add_column("session", sa.Column("budget", postgresql.JSONB(none_as_null=True)))
    op.add_column("org", sa.Column("budget", sa.JSON(none_as_null=True)))
    op.create_index("ix_model_usage_org", "model_usage", ["org_id", "created"])
    op.create_index("ix_model_usage_session", "model_usage", ["session_id"])


def downgrade() -> None:
    op.drop_column("org", "budget")
    op.drop_column("session", "budget")
    op.drop_table("budget_reservation")
    op.drop_table("model_usage")
