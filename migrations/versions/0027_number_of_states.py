"""How many states a flow has, for lists."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("flow_revision", sa.Column("number_of_states", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("flow_revision", "number_of_states")
