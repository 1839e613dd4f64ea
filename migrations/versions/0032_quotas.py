"""What an org may have, where that is less than the settings say, and which quotas are used up."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("quotas", "used_up"):
        op.add_column(
            "org", sa.Column(column, postgresql.JSONB(astext_type=sa.Text()), nullable=True)
        )


def downgrade() -> None:
    op.drop_column("org", "used_up")
    op.drop_column("org", "quotas")
