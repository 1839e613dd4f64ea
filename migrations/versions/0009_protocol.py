"""Which protocol a step is planned in, and by which code of a flow its invocation was entered."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "step", sa.Column("protocol", sa.Integer(), nullable=False, server_default="1")
    )
    op.add_column("invocation", sa.Column("flow_fingerprint", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("invocation", "flow_fingerprint")
    op.drop_column("step", "protocol")
