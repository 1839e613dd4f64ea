"""Which model profile answers in a session."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("session", sa.Column("model_profile", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("session", "model_profile")
